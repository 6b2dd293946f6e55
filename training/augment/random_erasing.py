"""Random erasing: a box of an image is replaced by noise.

Source: arXiv:1708.04896, with the ranges and the noise of timm's "pixel" mode. There
the noise is drawn after normalization; here it is drawn on the same scale, undone, and
held within 0..255, which cuts off what lies beyond two standard deviations.
"""

from __future__ import annotations

import math

import tensorflow as tf

from keras_convnext.preprocessing import Preprocessing

from .random_crop import to_uint8

# How often a box is drawn before the image is left alone.
_ATTEMPTS = 10
_AREA = (0.02, 1 / 3)
_RATIO = (0.3, 1 / 0.3)


def random_erase(
    image: tf.Tensor,
    seed: tf.Tensor,
    probability: float,
    preprocessing: Preprocessing,
) -> tf.Tensor:
    """Returns an image with a box of noise, or as it was.

    Args:
        image: uint8 `(size, size, 3)`.
        seed: int64 `(2,)`.
        probability: Share of images that get a box.
        preprocessing: Gives mean and spread of the noise.
    """
    whether, where, noise = tf.unstack(tf.random.split(seed, 3))
    sides = tf.shape(image)[:2]

    def with_box() -> tf.Tensor:
        top, left, height, width = sample_box(sides[0], sides[1], where)
        mean = 255.0 * tf.constant(preprocessing.mean)
        std = 255.0 * tf.constant(preprocessing.std)
        drawn = tf.random.stateless_normal(tf.stack([height, width, 3]), noise)
        noise_box = to_uint8(mean + std * drawn)
        rows = image[top : top + height]
        middle = tf.concat([rows[:, :left], noise_box, rows[:, left + width :]], axis=1)
        return tf.concat([image[:top], middle, image[top + height :]], axis=0)

    chosen = tf.random.stateless_uniform([], whether) < probability
    return tf.ensure_shape(tf.cond(chosen, with_box, lambda: image), image.shape)


def sample_box(
    height: tf.Tensor, width: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Draws a box: area uniform, logarithm of the aspect uniform, anywhere.

    The first of ten draws that is smaller than the image both ways is taken.

    Args:
        height: Of the image, int32.
        width: Of the image, int32.
        seed: int64 `(2,)`.

    Returns:
        Top, left, height and width, int32 scalars; zeros where no draw fits.
    """
    size_seed, place_seed = tf.unstack(tf.random.split(seed, 2))
    draws = tf.random.stateless_uniform([2, _ATTEMPTS], size_seed)
    whole = tf.cast(height * width, tf.float32)
    areas = whole * (_AREA[0] + draws[0] * (_AREA[1] - _AREA[0]))
    low, high = (math.log(ratio) for ratio in _RATIO)
    ratios = tf.exp(low + draws[1] * (high - low))
    heights = tf.cast(tf.round(tf.sqrt(areas * ratios)), tf.int32)
    widths = tf.cast(tf.round(tf.sqrt(areas / ratios)), tf.int32)
    fits = (heights < height) & (widths < width)
    first = tf.argmax(fits)
    any_fits = tf.reduce_any(fits)
    size = tf.where(any_fits, tf.stack([heights[first], widths[first]]), 0)
    room = tf.stack([height, width]) - size
    places = tf.random.stateless_uniform([2], place_seed)
    drawn = tf.cast(tf.floor(places * tf.cast(room + 1, tf.float32)), tf.int32)
    offset = tf.where(any_fits, tf.minimum(drawn, room), 0)
    return offset[0], offset[1], size[0], size[1]
