#!/usr/bin/env bash
# Behavior: spconv's convolutions on a CPU add up the same outputs from several threads
#   without a lock: with two threads or more some products are missing, others each time, and
#   nothing is said. With OMP_NUM_THREADS=1 they are right.
# Guess: threads share the outputs among them, so that results differ by rounding at most.
# Hurts: whoever checks a sparse network (masked autoencoders, point clouds) against spconv on
#   a CPU, or trains a small one there.
# Seen: 2026-11-29, spconv 2.3.8, torch 2.14.1: 20 convolutions of 7x7 over two full maps of 48x48
#   are off by 2.9e-7 of the largest output with one thread, by 2.2e-1 with four (two cores).

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 torch==2.14.1 spconv==2.3.8
cat >convolve.py <<'PYTHON'
"""Prints the largest error of 20 sparse convolutions whose every position is there."""

import spconv.pytorch as spconv
import torch

SIDE, CHANNELS = 48, 16
torch.manual_seed(0)
layer = spconv.SubMConv2d(CHANNELS, CHANNELS, 7, padding=3, bias=False)
dense = torch.randn(2, SIDE, SIDE, CHANNELS)
# Every position, in order: image, row, column.
places = torch.stack(
    torch.meshgrid(*map(torch.arange, (2, SIDE, SIDE)), indexing="ij"), -1
).reshape(-1, 3)
kernel = layer.weight.detach().permute(0, 3, 1, 2)
expected = torch.nn.functional.conv2d(
    dense.permute(0, 3, 1, 2).double(), kernel.double(), padding=3
)
expected = expected.permute(0, 2, 3, 1).reshape(-1, CHANNELS)
worst = 0.0
for _ in range(20):
    given = spconv.SparseConvTensor(
        dense.reshape(-1, CHANNELS), places.int().contiguous(), (SIDE, SIDE), 2
    )
    with torch.no_grad():
        found = layer(given).features.double()
    worst = max(worst, float((found - expected).abs().max()))
print(worst / float(expected.abs().max()))
PYTHON
venv/bin/python - <<'PYTHON'
import os
import subprocess
import sys
from importlib.metadata import version

print("spconv", version("spconv"), "torch", version("torch"))
errors = {}
for threads in ("1", "4"):
    errors[threads] = float(
        subprocess.run(
            [sys.executable, "convolve.py"],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    print(f"{threads} threads: off by {errors[threads]:.1e} of the largest output")
print("guess: both below 1e-5")
if not errors["1"] < 1e-5 < 1e-3 < errors["4"]:
    sys.exit("this has changed")
PYTHON
