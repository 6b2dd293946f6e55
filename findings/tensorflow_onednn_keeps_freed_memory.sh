#!/usr/bin/env bash
# Behavior: with oneDNN, TensorFlow's default on x86, memory of freed tensors stays with the
#   process; with TF_ENABLE_ONEDNN_OPTS=0 the system has it back at once.
# Guess: the variable chooses kernels and nothing else.
# Hurts: servers and tools that load one large model after another, or fold one into another:
#   the process keeps the size of its largest moment.
# Seen: 2026-11-29, tensorflow-cpu 2.21.0: of 512 MiB of tensors all remain with oneDNN, nothing
#   without.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
python3 -m venv venv
venv/bin/pip install --quiet tensorflow-cpu==2.21.0
venv/bin/python - <<'PYTHON'
import os
import subprocess
import sys
from importlib.metadata import version

print("tensorflow-cpu", version("tensorflow-cpu"))
CODE = """
import ctypes, gc
import tensorflow as tf

def resident():
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines["VmRSS"].split()[0]) / 1024

tf.constant(0.0) + 1
before = resident()
tensors = [tf.ones((64, 1024, 1024)) for _ in range(2)]
held = resident()
del tensors
gc.collect()
print(round(held - before), round(resident() - before))
"""
kept = {}
for flag in ("1", "0"):
    told = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": flag},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    held, kept[flag] = map(int, told.split())
    print(f"TF_ENABLE_ONEDNN_OPTS={flag}: held {held} MiB, after freeing {kept[flag]} MiB")
if kept["1"] < 400 or kept["0"] > 100:
    raise SystemExit("the behavior has changed")
PYTHON
