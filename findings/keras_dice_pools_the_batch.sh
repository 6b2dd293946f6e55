#!/usr/bin/env bash
# Behavior: keras.losses.Dice, as it comes (axis=None), makes one fraction of the whole
#   batch: all images and all classes in one sum above and one below. An image whose small
#   object is missed altogether costs next to nothing beside one with a large object.
# Guess: the loss of each image, then their mean, as reduction="sum_over_batch_size" says
#   and as axis=(1, 2, 3) gives it.
# Hurts: segmentation of small or rare things, for which the loss is chosen, and training
#   whose loss changes with the batch size.
# Seen: 2026-11-28, keras 3.15.1, numpy 2.4.6, jax 0.10.2 (as run here) and tensorflow
#   2.21.0 alike: of two images of 8 x 8 one is right and the object of the other, one
#   pixel, is missed: 0.0078 by default, 0.5 with axis=(1, 2, 3). reduction="sum" gives
#   0.0078 too.

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

truth = np.zeros((2, 8, 8, 1), "float32")
truth[0] = 1
truth[1, 0, 0] = 1
answer = truth.copy()
answer[1] = 0
each = [float(keras.losses.Dice()(truth[i : i + 1], answer[i : i + 1])) for i in range(2)]
together = float(keras.losses.Dice()(truth, answer))
summed = float(keras.losses.Dice(reduction="sum")(truth, answer))
by_image = float(keras.losses.Dice(axis=(1, 2, 3))(truth, answer))
print(f"each image alone: {each[0]:.4f}, {each[1]:.4f}")
print(f"both in one batch: {together:.4f}; guess: {np.mean(each):.4f}")
print(f'reduction="sum": {summed:.4f}; guess: {np.sum(each):.4f}')
print(f"axis=(1, 2, 3): {by_image:.4f}")
if together > 0.05 or abs(by_image - np.mean(each)) > 1e-3 or abs(summed - together) > 1e-6:
    raise SystemExit("the behavior has changed")
PYTHON
