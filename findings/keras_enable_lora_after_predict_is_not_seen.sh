#!/usr/bin/env bash
# Behavior: with Keras on TensorFlow, enable_lora() on a layer after the model has
#   predicted or evaluated once is not seen by predict and evaluate: they go on with the
#   graph traced before, without the adapter. model(x) uses the adapter, and so do all
#   three on JAX.
# Guess: the adapter counts everywhere, as quantize() does, which renews the traced
#   functions.
# Hurts: everybody who takes a baseline with evaluate, adds adapters and loads their
#   weights: the second evaluate reports the baseline again. Compiling again mends it.
# Seen: 2026-11-28, keras 3.15.1, tensorflow 2.21.0, numpy 2.4.6: predict unchanged to the
#   bit while model(x) is far from it.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet keras==3.15.1 tensorflow-cpu==2.21.0 numpy==2.4.6
KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import keras
import numpy as np

print("keras", version("keras"), "tensorflow", version("tensorflow-cpu"), "numpy", version("numpy"))

random = np.random.RandomState(0)
images = random.normal(size=(4, 8)).astype("float32")
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, name="dense")])
model.compile(loss="mse")
targets = np.zeros((4, 16), "float32")


def answer() -> tuple[np.ndarray, float, np.ndarray]:
    """What predict, evaluate and a call say."""
    loss = model.evaluate(images, targets, verbose=0)
    return model.predict(images, verbose=0), loss, np.array(model(images))


predicted, loss, called = answer()
dense = model.get_layer("dense")
dense.enable_lora(2)
dense.lora_kernel_b.assign(random.normal(size=dense.lora_kernel_b.shape))
predicted_lora, loss_lora, called_lora = answer()
true_loss = float(np.mean(called_lora**2))
print(f"change of model(x) by the adapter: {np.abs(called_lora - called).max():.3f}")
print(f"change of predict: {np.abs(predicted_lora - predicted).max():.3f}; guess: the same")
print(f"evaluate before {loss:.3f}, after {loss_lora:.3f}; guess: {true_loss:.3f}")
model.compile(loss="mse")
mended = np.abs(model.predict(images, verbose=0) - called_lora).max()
print(f"predict after another compile: {mended:.1g} off model(x)")
unseen = (predicted_lora == predicted).all() and loss_lora == loss
if not unseen or np.abs(called_lora - called).max() < 0.1 or mended > 1e-4:
    raise SystemExit("the behavior has changed")
PYTHON
