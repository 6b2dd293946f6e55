#!/usr/bin/env bash
# Behavior: a Keras loss with reduction="none" given to compile trains on the sum of the
#   batch's losses, while fit reports their mean: the steps are as many times too large as
#   the batch has images, and nothing that is printed shows it.
# Guess: an error, or the mean that is reported.
# Hurts: everybody who takes the loss object of a custom loop (where "none" is what one
#   needs under a distribution strategy) into compile and fit.
# Seen: 2026-11-28, keras 3.15.1, tensorflow 2.21.0, numpy 2.4.6: a batch of 8, zero
#   weights: the loss reported is ln 3 = 1.0986 with "none" and with the default; the
#   first step of SGD moves the weight by 0.667 by default and by 5.333 with "none", as
#   with "sum".

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

images = np.ones((8, 2), "float32")
labels = np.zeros((8,), "int32")


def train(reduction: str) -> tuple[float, float]:
    """The loss that fit reports of one step, and how far the step moves a weight."""
    dense = keras.layers.Dense(3, kernel_initializer="zeros", use_bias=False)
    model = keras.Sequential([keras.Input((2,)), dense])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    model.compile(keras.optimizers.SGD(1.0), loss)
    history = model.fit(images, labels, batch_size=8, verbose=0).history
    return history["loss"][0], float(dense.kernel.numpy()[0, 0])


seen = {name: train(name) for name in ("sum_over_batch_size", "none", "sum")}
for name, (loss, step) in seen.items():
    print(f"reduction={name}: loss reported {loss:.4f}, step {step:.4f}")
print("guess for none: an error, or the same two numbers as sum_over_batch_size")
(mean_loss, mean_step), (loss, step) = seen["sum_over_batch_size"], seen["none"]
if abs(loss - mean_loss) > 1e-4 or abs(step - 8 * mean_step) > 1e-3:
    raise SystemExit("the behavior has changed")
PYTHON
