#!/usr/bin/env bash
# Behavior: keras.layers.RandomCrop moves bounding boxes by the wrong axes: the offset of
#   the rows is taken from x and that of the columns from y. Images and masks are cropped
#   right.
# Guess: a box stays on its object.
# Hurts: everybody who trains a detector with this layer in the input pipeline: every box
#   of every training image is off by the difference of the two offsets, in silence.
# Seen: 2026-11-28, keras 3.15.1, tensorflow 2.21.0, numpy 2.4.6: of an object painted at
#   x 32..53, y 29..39 and a crop of 64 x 48 out of 96 x 64, the object is where the crop
#   puts it and the box is moved by the offsets exchanged. CenterCrop and Resizing are
#   right.

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

image = np.zeros((1, 64, 96, 3), "float32")
image[:, 29:39, 32:53] = 255
wrong = 0
for seed in range(10):
    layer = keras.layers.RandomCrop(48, 64, seed=seed, bounding_box_format="xyxy")
    boxes = {"boxes": np.float32([[[32, 29, 53, 39]]]), "labels": np.zeros((1, 1), "int32")}
    cropped = layer({"images": image, "bounding_boxes": boxes}, training=True)
    painted = np.argwhere(np.array(cropped["images"])[0, :, :, 0] > 127)
    (top, left), (bottom, right) = painted.min(0), painted.max(0) + 1
    object_moved = (32 - left, 29 - top)
    box = np.array(cropped["bounding_boxes"]["boxes"])[0, 0]
    box_moved = (32 - box[0], 29 - box[1])
    print(f"object moved by {tuple(map(int, object_moved))}, box by {tuple(map(int, box_moved))}")
    exchanged = np.allclose(box_moved, object_moved[::-1])
    wrong += bool(exchanged and object_moved[0] != object_moved[1])
print(f"boxes moved by the exchanged offsets: {wrong} of 10; guess: 0")
if wrong < 8:
    raise SystemExit("the behavior has changed")
PYTHON
