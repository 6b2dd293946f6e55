#!/usr/bin/env bash
# Behavior: BackupAndRestore(save_freq=batches) brings back weights, optimizer and epoch,
#   but not the place in the epoch: the interrupted epoch is trained from its first batch
#   again, on top of the steps that it had made already.
# Guess: training goes on at the batch that was saved, or with the weights of the epoch's
#   beginning; either way it ends after as many steps as without the interruption.
# Hurts: long epochs on machines that may be taken away, for which save_freq counts
#   batches: each interruption adds up to an epoch of steps, on the first images only, and
#   a learning rate schedule runs ahead.
# Seen: 2026-11-28, keras 3.15.1, numpy 2.4.6, jax 0.10.2 (as run here) and tensorflow
#   2.21.0 alike: two epochs of ten steps, interrupted after seven, saved after six: 26
#   steps in all instead of 20.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet keras==3.15.1 jax==0.10.2 numpy==2.4.6
KERAS_BACKEND=jax JAX_PLATFORMS=cpu venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import keras
import numpy as np

print("keras", version("keras"), "jax", version("jax"), "numpy", version("numpy"))

images, labels = np.ones((10, 1), "float32"), np.zeros((10, 1), "float32")


class Interrupt(keras.callbacks.Callback):
    """Ends training in the first epoch, after the seventh batch."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 6:
            raise KeyboardInterrupt


def fit(*callbacks) -> int:
    """Train a new model for two epochs of ten batches; how many steps it has made in all."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    backup = keras.callbacks.BackupAndRestore("backup", save_freq=2)
    try:
        model.fit(images, labels, 1, epochs=2, callbacks=[backup, *callbacks], verbose=0)
    except KeyboardInterrupt:
        pass
    return int(model.optimizer.iterations)


print("steps when interrupted:", fit(Interrupt()))
resumed = fit()
print(f"steps in all after a second start: {resumed}; guess: 20")
if resumed != 26:
    raise SystemExit("the behavior has changed")
PYTHON
