"""A detector that needs no training: it finds what is red, green and blue."""

import json

import keras
import numpy as np
from keras import ops

from keras_convnext.detection.box_coding import STDS
from keras_convnext.detection.box_outputs import Detections

NAMES = ("red", "green", "blue")


def color_boxes(shape=(None, None, 3), masks=True, scale=1 / 255):
    """Returns a detector whose objects are the bright pixels of a channel.

    It finds one object of each class at most: the box around all pixels that are above
    127 in a channel. Its scores are all but 1, and its masks fill their boxes.
    """
    image = keras.Input(shape)
    kernel = keras.initializers.Constant(np.eye(3)[None, None])
    scaled = keras.layers.Rescaling(scale)(image) if scale != 1 else image
    colors = keras.layers.Conv2D(3, 1, kernel_initializer=kernel)(scaled)
    is_bright = ops.cast(colors > 0.5, "float32")
    sides = [_first_and_last(ops.max(is_bright, axis)) for axis in (2, 1)]
    (y0, y1), (x0, x1) = sides
    boxes = ops.stack([y0, x0, y1, x1], axis=-1)
    is_there = ops.cast(y1 > y0, "float32")[..., None]
    # Of three boxes the first is red or background, and so on.
    of_class = np.eye(3, 4, dtype="float32")
    of_none = np.eye(4, dtype="float32")[3]
    logits = 40 * (is_there * of_class + (1 - is_there) * of_none)
    deltas = ops.repeat(ops.zeros_like(boxes), 3, axis=-1)
    found = Detections(STDS, 5, 0.05, 0.5, name="detections")(
        boxes, ops.reshape(logits, (-1, 4)), ops.reshape(deltas, (-1, 12)), image
    )
    outputs = dict(zip(("boxes", "scores", "classes", "count"), found, strict=True))
    if masks:
        ones = np.ones((1, 1, 28, 28), "float32")
        outputs["masks"] = ops.ones_like(found[1])[..., None, None] * ones
    return keras.Model(image, outputs)


def write_color_boxes(folder, size_px, model=None):
    """Writes a finished run of detection, as far as other commands look into it.

    Args:
        folder: Where; it is made.
        size_px: Shorter side of the images.
        model: Another one with these classes.
    """
    folder.mkdir(exist_ok=True)
    (model or color_boxes()).save(folder / "model.keras")
    (folder / "labels.txt").write_text("\n".join(NAMES))
    record = {"size_px": size_px, "resize": "keep_ratio"}
    (folder / "preprocessing.json").write_text(json.dumps(record))
    return folder


def _first_and_last(is_on):
    """Returns where 1 begins and ends along the first axis, of each channel."""
    places = ops.cumsum(ops.ones_like(is_on), axis=1)
    length = ops.max(places, axis=1)
    end = ops.max(places * is_on, axis=1)
    start = length - ops.max((length[:, None] + 1 - places) * is_on, axis=1)
    return start, end
