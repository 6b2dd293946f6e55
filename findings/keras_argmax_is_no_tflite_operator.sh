#!/usr/bin/env bash
# Behavior: a function with `keras.ops.argmax` of floats cannot be converted to TFLite on
#   the TensorFlow backend: Keras looks at the sign bit of zeros, and there is no built-in
#   operator for that. `tf.argmax`, and `keras.ops.top_k(x, 1)[1]`, are converted.
# Guess: it becomes TFLite's ARG_MAX.
# Hurts: label maps and classifiers that answer with a class number, on devices: the
#   converter wants Flex, which phones do not have built in.
# Seen: 2026-11-29, keras 3.15.1, tensorflow-cpu 2.21.0: a ConverterError that names
#   tf.BitwiseAnd.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
python3 -m venv venv
venv/bin/pip install --quiet tensorflow-cpu==2.21.0 keras==3.15.1
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import keras
import tensorflow as tf

print("keras", version("keras"), "tensorflow-cpu", version("tensorflow-cpu"))


def convert(function) -> str:
    """Says whether the built-in operators of TFLite suffice for a function."""
    traced = tf.function(function)
    concrete = traced.get_concrete_function(tf.TensorSpec((1, 4), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], traced)
    try:
        converter.convert()
    except Exception as error:
        return "needs BitwiseAnd" if "BitwiseAnd" in str(error) else f"fails: {error}"
    return "converted"


seen = {
    "keras.ops.argmax": convert(lambda x: keras.ops.argmax(x, -1)),
    "tf.argmax": convert(lambda x: tf.argmax(x, -1)),
    "keras.ops.top_k": convert(lambda x: keras.ops.top_k(x, 1)[1]),
}
for name, result in seen.items():
    print(f"{name}: {result}; guess: converted")
if list(seen.values()) != ["needs BitwiseAnd", "converted", "converted"]:
    raise SystemExit("the behavior has changed")
PYTHON
