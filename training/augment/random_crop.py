"""Views of an image: the random resized crop, and evaluation's as whole numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from keras_convnext.image import evaluation_view
from keras_convnext.preprocessing import Preprocessing

# From an image's height and width to the top, left, height and width of a part.
Window = Callable[
    [tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
]

# How often a crop is drawn before the middle of the image is taken instead, as in
# the reference implementations of the random resized crop.
_ATTEMPTS = 10


def evaluation_pixels(image: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Returns the view that evaluation takes, rounded to uint8."""
    return to_uint8(evaluation_view(image, preprocessing))


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Returns float pixels rounded and held within 0..255."""
    return tf.saturate_cast(tf.round(image), tf.uint8)


def resize_to_square(image: tf.Tensor, size_px: int, interpolation: str) -> tf.Tensor:
    """Returns an image resized to a square, whatever its aspect, as Pillow does.

    Args:
        image: uint8 `(height, width, 3)`.
        size_px: Side of the square.
        interpolation: "bicubic" or "bilinear".

    Returns:
        uint8 `(size_px, size_px, 3)`.
    """
    whole = Preprocessing(
        size_px=size_px, crop_mode="squash", interpolation=interpolation
    )
    return tf.cast(evaluation_view(image, whole), tf.uint8)


def sample_crop(
    height: tf.Tensor,
    width: tf.Tensor,
    seed: tf.Tensor,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Draws a window: area uniform in `scale`, logarithm of the aspect uniform.

    The first of ten draws that fits is taken. Where none fits it is the largest
    window in the middle whose aspect lies within `ratio`.
    Source: Inception's crop as torchvision and timm draw it.

    Args:
        height: Of the image, int32.
        width: Of the image, int32.
        seed: int64 `(2,)`.
        scale: Smallest and largest share of the area.
        ratio: Smallest and largest width over height.

    Returns:
        Top, left, height and width, int32 scalars.
    """
    size_seed, place_seed = tf.unstack(tf.random.split(seed, 2))
    draws = tf.random.stateless_uniform([2, _ATTEMPTS], size_seed)
    tall, wide = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    areas = tall * wide * (scale[0] + draws[0] * (scale[1] - scale[0]))
    low, high = math.log(ratio[0]), math.log(ratio[1])
    ratios = tf.exp(low + draws[1] * (high - low))
    widths = tf.cast(tf.round(tf.sqrt(areas * ratios)), tf.int32)
    heights = tf.cast(tf.round(tf.sqrt(areas / ratios)), tf.int32)
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = tf.argmax(fits)

    nearest = tf.clip_by_value(wide / tall, ratio[0], ratio[1])
    middle_width = tf.minimum(wide, tf.round(tall * nearest))
    middle_height = tf.minimum(tall, tf.round(wide / nearest))
    middle_width = tf.cast(tf.maximum(middle_width, 1.0), tf.int32)
    middle_height = tf.cast(tf.maximum(middle_height, 1.0), tf.int32)

    any_fits = tf.reduce_any(fits)
    crop_height = tf.where(any_fits, heights[first], middle_height)
    crop_width = tf.where(any_fits, widths[first], middle_width)
    room = tf.stack([height - crop_height, width - crop_width])
    places = tf.random.stateless_uniform([2], place_seed)
    # Every whole offset from 0 to the room has the same chance.
    drawn = tf.cast(tf.floor(places * tf.cast(room + 1, tf.float32)), tf.int32)
    offset = tf.where(any_fits, tf.minimum(drawn, room), room // 2)
    return offset[0], offset[1], crop_height, crop_width
