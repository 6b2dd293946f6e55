#!/usr/bin/env bash
# Behavior: keras.layers.RandomRotation rotates bounding boxes right in the format xyxy
#   only. The numbers of any other format are rotated as if they were xyxy: yxyx with x
#   for y, xywh with the size for a corner, rel_xyxy with fractions for pixels.
# Guess: any bounding_box_format that the layer accepts comes out right, as it does from
#   RandomFlip, RandomTranslation and RandomZoom.
# Hurts: everybody who trains a detector on boxes in COCO's xywh or in fractions.
#   (RandomPerspective has the same fault.)
# Seen: 2026-11-28, keras 3.15.1, tensorflow 2.21.0, numpy 2.4.6: with rotations of up to
#   36 degrees the box in xyxy encloses the painted object to about a pixel; given as
#   yxyx, xywh or rel_xyxy it comes out tens of pixels away.

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

height, width, images = 64, 96, 16
random = np.random.RandomState(0)
pixels = np.zeros((images, height, width, 3), "float32")
corners = np.zeros((images, 1, 4), "float32")
for i in range(images):
    left, top = random.randint(25, 50), random.randint(14, 30)
    pixels[i, top : top + 12, left : left + 20] = 255
    corners[i, 0] = [left, top, left + 20, top + 12]


def worst_distance(box_format: str) -> float:
    """Pixels between a side of the painted object and that of its box, the median image's."""
    convert = keras.utils.bounding_boxes.convert_format
    size = {"height": height, "width": width}
    keras.utils.set_random_seed(3)
    layer = keras.layers.RandomRotation(
        0.1, fill_mode="constant", bounding_box_format=box_format, seed=3
    )
    boxes = np.array(convert(corners, "xyxy", box_format, **size))
    labels = np.zeros((images, 1), "int32")
    rotated = layer(
        {"images": pixels, "bounding_boxes": {"boxes": boxes, "labels": labels}}, training=True
    )
    found = np.array(convert(rotated["bounding_boxes"]["boxes"], box_format, "xyxy", **size))
    distances = []
    for image, box in zip(np.array(rotated["images"]), found):
        painted = np.argwhere(image[:, :, 0] > 127)
        (top, left), (bottom, right) = painted.min(0), painted.max(0) + 1
        distances.append(np.abs(box[0] - [left, top, right, bottom]).max())
    return float(np.median(distances))


seen = {name: worst_distance(name) for name in ("xyxy", "yxyx", "xywh", "rel_xyxy")}
for name, distance in seen.items():
    print(f"{name}: the box is {distance:.1f} pixels from its object; guess: about 1")
if seen["xyxy"] > 2 or min(seen["yxyx"], seen["xywh"], seen["rel_xyxy"]) < 10:
    raise SystemExit("the behavior has changed")
PYTHON
