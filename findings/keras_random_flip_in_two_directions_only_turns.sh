#!/usr/bin/env bash
# Behavior: keras.layers.RandomFlip("horizontal_and_vertical"), which is its default mode,
#   never flips in one direction alone: an image stays as it is or is turned by 180
#   degrees.
# Guess: two independent flips, so four outcomes of a quarter each.
# Hurts: everybody who trains on images without an up (from above, from a microscope):
#   half of the augmentation that the mode's name promises is missing, and mirror images
#   never occur. RandomFlip("horizontal") followed by RandomFlip("vertical") gives all
#   four.
# Seen: 2026-11-28, keras 3.15.1, numpy 2.4.6, jax 0.10.2 (as run here) and tensorflow
#   2.21.0 alike: of 400 images about half unchanged, about half turned, none mirrored;
#   two layers give about 100 of each.

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

images = np.arange(400 * 4, dtype="float32").reshape(400, 2, 2, 1)
outcomes = {
    "unchanged": lambda image: image,
    "left and right": lambda image: image[:, ::-1],
    "top and bottom": lambda image: image[::-1],
    "both": lambda image: image[::-1, ::-1],
}


def count(modes: list[str]) -> dict[str, int]:
    """How often each outcome occurs with one layer for each mode."""
    flips = [keras.layers.RandomFlip(mode, seed=i) for i, mode in enumerate(modes)]
    flipped = np.array(keras.Sequential(flips)(images, training=True))
    return {
        name: sum(bool((outcome(a) == b).all()) for a, b in zip(images, flipped))
        for name, outcome in outcomes.items()
    }


one_layer = count(["horizontal_and_vertical"])
print("one layer, horizontal_and_vertical:", one_layer)
print("two layers, horizontal, vertical:  ", count(["horizontal", "vertical"]))
print("guess for one layer: about 100 each")
mirrored = one_layer["left and right"] + one_layer["top and bottom"]
if mirrored or sum(one_layer.values()) != 400 or not one_layer["both"]:
    raise SystemExit("the behavior has changed")
PYTHON
