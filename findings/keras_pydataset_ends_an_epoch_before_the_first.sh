#!/usr/bin/env bash
# Behavior: fit calls PyDataset.on_epoch_end() once before the first epoch: a data set
#   that counts epochs there has already counted one when its first batch is asked for.
# Guess: it is called after each epoch and never before, so the first epoch is epoch 0.
# Hurts: everybody whose data set changes by the epoch (image size, strength of
#   augmentation, the shard to read): the first epoch's setting is skipped and all others
#   come one early. With workers on JAX a part of the first epoch has one setting and a
#   part the next.
# Seen: 2026-11-28, keras 3.15.1, numpy 2.4.6, jax 0.10.2 (as run here) and tensorflow
#   2.21.0 alike: the batches of three epochs are asked for with the counter at 1, 2, 3
#   instead of 0, 1, 2.

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


class Counting(keras.utils.PyDataset):
    """Batches that hold the number of the epoch."""

    def __init__(self):
        super().__init__()
        self.epoch = 0

    @property
    def num_batches(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((1, 1), self.epoch, "float32"), np.zeros((1, 1), "float32")

    def on_epoch_end(self):
        self.epoch += 1


# A frozen weight of one: the loss is the mean of what the batches hold.
dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", trainable=False)
model = keras.Sequential([keras.Input((1,)), dense])
model.compile("sgd", "mae")
epochs = model.fit(Counting(), epochs=3, verbose=0).history["loss"]
print("the epoch by the data set's own count, of three epochs:", epochs)
print("guess: [0.0, 1.0, 2.0]")
if epochs != [1.0, 2.0, 3.0]:
    raise SystemExit("the behavior has changed")
PYTHON
