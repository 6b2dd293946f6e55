#!/usr/bin/env bash
# Behavior: keras.layers.RandomCrop draws one place for a whole batch: all images of the
#   batch are cut at the same row and column. RandomTranslation, RandomRotation and
#   RandomZoom draw for each image.
# Guess: a random place for each image, as the layers beside it do.
# Hurts: everybody who puts the layer into the model or maps it over batches, as the
#   tutorials do: of the augmentation by crops one draw a step is left instead of one an
#   image.
# Seen: 2026-11-28, keras 3.15.1, numpy 2.4.6, jax 0.10.2 (as run here) and tensorflow
#   2.21.0 alike: 64 equal images come out as one and the same crop, and as 64 different
#   images of RandomTranslation.

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

image = np.random.RandomState(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
batch = np.repeat(image, 64, axis=0)


def count_distinct(layer) -> int:
    """How many different images the layer makes of 64 equal ones."""
    return len({image.tobytes() for image in np.array(layer(batch, training=True))})


translated = count_distinct(keras.layers.RandomTranslation(0.3, 0.3, seed=0))
cropped = [count_distinct(keras.layers.RandomCrop(32, 32, seed=seed)) for seed in range(5)]
print(f"different images of 64 by RandomTranslation: {translated}")
print(f"different images of 64 by RandomCrop, five seeds: {cropped}; guess: about 64")
if cropped != [1] * 5 or translated < 60:
    raise SystemExit("the behavior has changed")
PYTHON
