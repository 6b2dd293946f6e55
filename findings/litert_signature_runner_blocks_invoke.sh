#!/usr/bin/env bash
# Behavior: as long as the object that `Interpreter.get_signature_runner` returned lives,
#   `Interpreter.invoke` raises a RuntimeError about references to internal data, although no
#   array was taken.
# Guess: both ways of running a model can be used one after the other.
# Hurts: programs that run a signature here and tensors by their numbers there; the message
#   tells them to look for an array that there is not.
# Seen: 2026-11-29, ai-edge-litert 2.3.0 with a file of tensorflow-cpu 2.21.0; after `del` it runs.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
python3 -m venv venv
venv/bin/pip install --quiet tensorflow-cpu==2.21.0 ai-edge-litert==2.3.0
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

print(*(f"{name} {version(name)}" for name in ("ai-edge-litert", "tensorflow-cpu")))


class Double(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((1, 2), tf.float32)])
    def __call__(self, x):
        return {"y": 2 * x}


module = Double()
converter = tf.lite.TFLiteConverter.from_concrete_functions(
    [module.__call__.get_concrete_function()], module
)
interpreter = Interpreter(model_content=converter.convert())
interpreter.allocate_tensors()


def invoke() -> str:
    try:
        interpreter.invoke()
    except RuntimeError as error:
        return "refused" if "reference" in str(error) else f"fails: {error}"
    return "ran"


seen = [invoke()]
runner = interpreter.get_signature_runner()
seen.append(invoke())
del runner
seen.append(invoke())
print(f"before: {seen[0]}; with a runner: {seen[1]}; without it: {seen[2]}; guess: ran")
if seen != ["ran", "refused", "ran"]:
    raise SystemExit("the behavior has changed")
PYTHON
