#!/usr/bin/env bash
# Behavior: keras.ops.image.gaussian_blur on the JAX backend (and on PyTorch's) does not
#   blur with a Gaussian: the weights of the kernel are laid out wrongly for the
#   convolution, so that they do not even sum to one. TensorFlow's backend is right.
# Guess: the same image from every backend, and a gray area that stays as it is.
# Hurts: augmentation (SimCLR, DINO), smoothing before down-sampling, metrics with a
#   Gaussian window in Keras on JAX. keras.layers.RandomGaussianBlur is not concerned.
# Seen: 2026-11-28, keras 3.15.1, jax 0.10.2, numpy 2.4.6: the middle of an image of one
#   channel that is 100 everywhere comes out as 45, that of three channels as 73, 100 and
#   73.

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

seen = {}
for channels in (1, 3):
    gray = np.full((1, 9, 9, channels), 100.0, "float32")
    blurred = np.array(keras.ops.image.gaussian_blur(gray, (3, 3), (1.0, 1.0)))
    seen[channels] = blurred[0, 4, 4]
    print(f"{channels} channels of 100, the middle blurred:", seen[channels].round(1), "guess: 100")
if abs(seen[1][0] - 100) < 20 or abs(seen[3] - 100).max() < 20:
    raise SystemExit("the behavior has changed")
PYTHON
