"""Whole images of any size: as networks see them, and networks that take them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_convnext.preprocessing import LONGEST_TO_SHORTEST, SMALLEST_PX


def resized_shape(
    height: int,
    width: int,
    size_px: int,
    longest_to_shortest: float = LONGEST_TO_SHORTEST,
) -> tuple[int, int]:
    """Returns the height and width, in pixels, in which the network sees an image.

    The ratio is kept: the longer side has at most `longest_to_shortest * size_px`
    pixels and the shorter one at most `size_px`, and one of them has as many. No side
    is shorter than 32.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        size_px: Of the shorter side: of segmentation the side of the crops that the
            network was trained on.
        longest_to_shortest: 5 / 3 of detection.

    Source: github.com/open-mmlab/mmcv 2.1, its imrescale with the scale (2048, 512).

    Example:
        >>> from keras_convnext.segmentation import resized_shape
        >>> resized_shape(480, 640, 512), resized_shape(100, 1000, 512)
        ((512, 683), (205, 2048))
    """
    factor = min(
        round(longest_to_shortest * size_px) / max(height, width),
        size_px / min(height, width),
    )
    sides = [max(int(side * factor + 0.5), SMALLEST_PX) for side in (height, width)]
    return sides[0], sides[1]


def resize_image(
    image: np.ndarray,
    size_px: int,
    longest_to_shortest: float = LONGEST_TO_SHORTEST,
) -> np.ndarray:
    """Resizes an image to `resized_shape`, bilinearly and without antialiasing.

    Args:
        image: `(height, width, channels)` in 0..255.
        size_px: As in `resized_shape`.
        longest_to_shortest: As there.

    Returns:
        float32 `(resized height, resized width, channels)`, whole numbers in 0..255.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.whole_images import resize_image
        >>> resize_image(np.zeros((48, 64, 3), "uint8"), 96).shape
        (96, 128, 3)
    """
    height, width = image.shape[:2]
    shape = resized_shape(height, width, size_px, longest_to_shortest)
    return np.asarray(np.rint(resize(image.astype(np.float32), shape)))


def resize(values: Any, shape: tuple[int, int]) -> np.ndarray:
    """Resizes `(height, width, channels)` bilinearly, without antialiasing."""
    resized = ops.image.resize(
        values,
        shape,
        interpolation="bilinear",
        antialias=False,
        data_format="channels_last",
    )
    return np.asarray(ops.convert_to_numpy(resized))


def with_open_size(model: keras.Model) -> keras.Model:
    """Returns a model of the same weights that takes images of any height and width.

    Args:
        model: Any that labels pixels or finds objects, functional.

    Raises:
        ValueError: It holds something that one size was made for.

    Example:
        >>> import keras_convnext
        >>> from keras_convnext.whole_images import with_open_size
        >>> model = keras_convnext.UPerNet("convnext_atto", 2, input_shape=(64, 64, 3))
        >>> with_open_size(model).input_shape
        (None, None, None, 3)
    """
    if model.inputs[0].shape[1:3] == (None, None):
        return model
    try:
        opened = with_input_side(model, None)
        if len(opened.outputs) > 1 or opened.outputs[0].shape[1:3] == (None, None):
            return opened
    except ValueError:
        pass
    height, width = model.inputs[0].shape[1:3]
    raise ValueError(
        f"it is made for {height} x {width} pixels alone: build it with "
        "input_shape=(None, None, 3), so that it takes whole images"
    )


def with_input_side(model: keras.Model, side: int | None) -> keras.Model:
    """Returns a model of the same weights for square images of another size.

    Args:
        model: Any functional model.
        side: Of the images; None for any height and width.

    Raises:
        ValueError: It holds something that other sizes were made for.

    Example:
        >>> import keras_convnext
        >>> from keras_convnext.whole_images import with_input_side
        >>> model = keras_convnext.create("convnext_atto", classes=2)
        >>> with_input_side(model, 288).input_shape
        (None, 288, 288, 3)
    """
    config = model.get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "InputLayer":
            batch, *_, channels = layer["config"]["batch_shape"]
            layer["config"]["batch_shape"] = (batch, side, side, channels)
    try:
        made = type(model).from_config(config)
        made.set_weights(model.get_weights())
    except (TypeError, ValueError) as error:
        size = "of any size" if side is None else f"of {side} x {side} pixels"
        raise ValueError(f"it cannot take images {size}") from error
    return made
