#!/usr/bin/env bash
# Behavior: a function with `tf.map_fn` becomes a TFLite file that holds the map's whole
#   result as zeros: the file grows by the size of an activation.
# Guess: a file holds weights and operators; what is computed is allocated when it runs.
# Hurts: detectors and others with a loop over boxes or time steps, on devices: the file of a
#   small network may be twice as large as its weights.
# Seen: 2026-11-29, tensorflow-cpu 2.21.0: with 1,000 results of 4 KB the file has 4.1 MB, with
#   10 it has 0.05 MB; there are no weights.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
python3 -m venv venv
venv/bin/pip install --quiet tensorflow-cpu==2.21.0
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import tensorflow as tf

print("tensorflow-cpu", version("tensorflow-cpu"))


def file_bytes(count: int) -> int:
    """Converts a map over numbers, each to 1,024 floats, and measures the file."""
    function = tf.function(
        lambda numbers: tf.reduce_max(
            tf.map_fn(lambda number: tf.ones(1024) * number, numbers), 0
        )
    )
    concrete = function.get_concrete_function(tf.TensorSpec((count,), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], function)
    return len(converter.convert())


small, large = file_bytes(10), file_bytes(1000)
print(f"10 results: {small:,} bytes; 1,000 results: {large:,} bytes; guess: the same")
if large - small < 0.9 * 990 * 4096:
    raise SystemExit("the behavior has changed")
PYTHON
