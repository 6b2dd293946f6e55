#!/usr/bin/env bash
# Behavior: a layer or model that was called with `training=False` while a functional model
#   was built is called with `training=True` all the same, as soon as the functional model
#   is: in `fit`, or by `model(x, training=True)`.
# Guess: `training=False` stays, as the guide to transfer learning says: a base model that is
#   called so keeps its batch normalization in inference mode, also once it is unfrozen.
# Hurts: fine-tuning of networks with batch normalization or dropout on small batches: the
#   statistics that were to be kept are moved, and dropout drops.
# Seen: 2026-11-29, keras 3.15.1, jax 0.10.2, numpy 2.4.6: the moving mean of a layer and of
#   a nested model, both called with training=False, moves in one step of fit.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet keras==3.15.1 jax==0.10.2 numpy==2.4.6
KERAS_BACKEND=jax venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import keras
import numpy as np

print("keras", version("keras"), "jax", version("jax"), "numpy", version("numpy"))
images = np.ones((4, 2), "float32")


def moves(is_nested: bool, is_trainable: bool) -> bool:
    """Says whether one step of fit moves the statistics that training=False is to keep."""
    norm = keras.layers.BatchNormalization()
    inputs = keras.Input((2,))
    base = keras.Sequential([keras.Input((2,)), norm]) if is_nested else norm
    base.trainable = is_trainable
    outputs = keras.layers.Dense(1)(base(inputs, training=False))
    model = keras.Model(inputs, outputs)
    before = np.array(norm.moving_mean)
    model.compile("sgd", "mse")
    model.fit(images, np.zeros((4, 1)), verbose=0)
    return not np.array_equal(before, np.array(norm.moving_mean))


seen = {
    "a layer": moves(is_nested=False, is_trainable=True),
    "a nested model": moves(is_nested=True, is_trainable=True),
    "a frozen nested model": moves(is_nested=True, is_trainable=False),
}
for name, has_moved in seen.items():
    print(f"{name} called with training=False: statistics moved: {has_moved}; guess: False")
if list(seen.values()) != [True, True, False]:
    raise SystemExit("the behavior has changed")
PYTHON
