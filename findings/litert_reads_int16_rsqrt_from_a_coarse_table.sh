#!/usr/bin/env bash
# Behavior: LiteRT computes RSQRT of int16 by a table with a line between every 128th
#   value of the input, over the input's whole range. Near zero, where 1/sqrt(x) bends,
#   the answer is several times the right one. TFLite Micro, given the same file,
#   computes each value by itself and is right.
# Guess: 16-bit activations are the accurate ones: an error of about half a step of the
#   output (0.3 % here), the same in both runtimes.
# Hurts: whoever quantizes layer or RMS norms with int16 activations (16x8): positions
#   of small variance are scaled by a multiple, silently, and only in one runtime.
# Seen: 2026-11-30, tensorflow 2.21.0, ai-edge-litert 2.3.0, tflite-micro
#   0.dev20261023182759: at 39 of 32,767 steps above zero LiteRT answers 57.1 where 14.5
#   is right, TFLite Micro 14.5; over all inputs 0.99 to 3.99 times the right answer, and
#   0.998 to 1.003 times.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet tensorflow==2.21.0 ai-edge-litert==2.3.0 \
    tflite-micro==0.dev20261023182759
cat >rsqrt.py <<'PYTHON'
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from importlib.metadata import version

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tflite_micro import runtime

COUNT = 256
VALUES = np.geomspace(1e-4, 4, COUNT).astype(np.float32)


class Rsqrt(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((1, COUNT))])
    def __call__(self, x):
        return tf.math.rsqrt(x)


module = Rsqrt()
converter = tf.lite.TFLiteConverter.from_concrete_functions(
    [module.__call__.get_concrete_function()], module
)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: [[VALUES[None]]]
converter.target_spec.supported_ops = [
    tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
]
converter.inference_input_type = converter.inference_output_type = tf.int16
file = converter.convert()

interpreter = Interpreter(model_content=file)
interpreter.allocate_tensors()
(source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
in_step, out_step = source["quantization"][0], target["quantization"][0]
steps = np.maximum(1, np.round(VALUES / in_step)).astype(np.int16)[None]
exact = 1 / np.sqrt(steps * in_step)

interpreter.set_tensor(source["index"], steps)
interpreter.invoke()
litert = interpreter.get_tensor(target["index"]) * out_step

micro_runtime = runtime.Interpreter.from_bytes(file)
micro_runtime.set_input(steps, 0)
micro_runtime.invoke()
micro = micro_runtime.get_output(0) * out_step

names = ("tensorflow", "ai-edge-litert", "tflite-micro")
print(*(f"{name} {version(name)}" for name in names))
at = int(np.argmin(np.abs(steps - 40)))
# Larger answers than the output can hold are cut off everywhere: not looked at.
seen = steps >= 40
ratios = {
    "LiteRT": (litert / exact)[seen],
    "TFLite Micro": (micro / exact)[seen],
}
print(f"input {steps[0, at]} steps of {in_step:.3g} above zero: 1/sqrt is {exact[0, at]:.1f}")
print(f"  LiteRT {litert[0, at]:.1f}, TFLite Micro {micro[0, at]:.1f}")
for name, ratio in ratios.items():
    print(f"{name}: {ratio.min():.3f} to {ratio.max():.3f} times the right answer; guess: 1")
is_as_seen = ratios["LiteRT"].max() > 2 and abs(ratios["TFLite Micro"] - 1).max() < 0.02
if not is_as_seen:
    raise SystemExit("the behavior has changed")
PYTHON
venv/bin/python rsqrt.py
