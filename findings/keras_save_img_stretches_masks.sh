#!/usr/bin/env bash
# Behavior: keras.utils.save_img and array_to_img stretch what they are given to the whole
#   range of 0 to 255, arrays of uint8 too: a mask of the classes 0, 1, 2 is written as 0,
#   127, 255, and a dark image as a bright one. scale=False leaves the numbers alone.
# Guess: uint8 is written as it is, and floats are clipped.
# Hurts: segmentation (the class numbers in the files depend on which classes an image
#   has), and whoever looks at augmented images to judge their brightness and contrast.
# Seen: 2026-11-28, keras 3.15.1, pillow 13.0.0, numpy 2.4.6, jax 0.10.2 (as run here) and
#   tensorflow 2.21.0 alike: classes 0, 1, 2 come back from a PNG file as 0, 127, 255, and
#   classes 0, 2 as 0, 255; an image of the levels 10 to 60 as one of 0 to 255.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet keras==3.15.1 jax==0.10.2 pillow==13.0.0 numpy==2.4.6
KERAS_BACKEND=jax JAX_PLATFORMS=cpu venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import keras
import numpy as np
from PIL import Image

print("keras", version("keras"), "pillow", version("pillow"), "numpy", version("numpy"))


def write_and_read(levels: list[int], **settings: bool) -> list[int]:
    """The levels that a PNG file has after an image of uint8 with some levels was saved."""
    pixels = np.array(levels, "uint8").reshape(1, -1, 1)
    keras.utils.save_img("image.png", pixels, **settings)
    return np.array(Image.open("image.png")).ravel().tolist()


images = {"classes of a mask": [0, 1, 2], "of another": [0, 2, 2], "dark image": [10, 35, 60]}
seen = {name: write_and_read(levels) for name, levels in images.items()}
for name, levels in images.items():
    print(f"{name}: saved {levels}, in the file {seen[name]}; guess: {levels}")
left_alone = [write_and_read(levels, scale=False) for levels in images.values()]
print("with scale=False:", left_alone)
changed = [seen[name][-1] == 255 for name in images]
if not all(changed) or left_alone != list(images.values()):
    raise SystemExit("the behavior has changed")
PYTHON
