#!/usr/bin/env bash
# Behavior: keras.ops.image.map_coordinates with fill_mode="reflect" on the TensorFlow
#   backend mirrors the beginning of an axis about the middle of its first pixel and the
#   end of the axis about the last pixel's edge; from the second mirror image on, places
#   are off by one. JAX's backend does what the documentation draws (d c b a | a b c d | d
#   c b a).
# Guess: the drawing, on every backend, as scipy.ndimage's "reflect".
# Hurts: warped images (RandomElasticTransform is made of it) whose top and left borders
#   are shifted by a pixel against bottom and right, and parity between backends.
# Seen: 2026-11-28, keras 3.15.1, tensorflow 2.21.0, scipy 1.17.1, numpy 2.4.6: of the
#   pixels 1 2 3 4 5 the places -3, -2, -1 are 4 3 2 instead of 3 2 1; the places 5, 6, 7
#   are right.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet keras==3.15.1 tensorflow-cpu==2.21.0 numpy==2.4.6 scipy==1.17.1
KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import keras
import numpy as np
import scipy.ndimage

print("keras", version("keras"), "tensorflow", version("tensorflow-cpu"))
print("scipy", version("scipy"), "numpy", version("numpy"))

pixels = np.arange(1, 6, dtype="float32")
seen = {}
for name, places in {"before": [-3, -2, -1], "inside": [0, 2, 4], "behind": [5, 6, 7]}.items():
    at = np.float32([places])
    found = np.array(keras.ops.image.map_coordinates(pixels, at, order=1, fill_mode="reflect"))
    guess = scipy.ndimage.map_coordinates(pixels, at, order=1, mode="reflect")
    print(f"{name} {places}: {found.tolist()}; guess: {guess.tolist()}")
    seen[name] = bool((found == guess).all())
if seen != {"before": False, "inside": True, "behind": True}:
    raise SystemExit("the behavior has changed")
PYTHON
