"""Photometric distortion: brightness, contrast, saturation and hue at random.

Every change ends in 8 bits, cut off and not rounded, and hue and saturation are those
of OpenCV's HSV of 8 bits: mmsegmentation's rule to the last level. (OpenCV rounds the
last few pixels of a row, width modulo 32, and cuts off in all others, as is done here.)
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

BRIGHTNESS = 32.0
CONTRAST = SATURATION = (0.5, 1.5)
# Whole steps of OpenCV's hue, which goes round in 180; the upper end is never drawn.
HUE = (-18, 18)
_HUES = 180
# OpenCV divides by tables of fixed-point numbers; 1 is so much.
_UNIT = 1 << 12


class Distortion(NamedTuple):
    """What is done to one image.

    Attributes:
        chosen: Booleans `(4,)`: brightness, contrast, saturation, hue.
        brightness: Added to each level, float32.
        contrast: Factor of each level, float32.
        saturation: Factor of the saturation, float32.
        hue: Added to the hue, int32.
        contrast_first: Whether contrast comes before saturation, or after hue.
    """

    chosen: tf.Tensor
    brightness: tf.Tensor
    contrast: tf.Tensor
    saturation: tf.Tensor
    hue: tf.Tensor
    contrast_first: tf.Tensor


def draw_distortion(seed: tf.Tensor) -> Distortion:
    """Draws what is done to an image.

    Args:
        seed: int64 `(2,)`.

    Source: mmsegmentation 1.2.2, PhotoMetricDistortion with its defaults.
    """
    coin_seed, dose_seed, hue_seed = tf.unstack(tf.random.split(seed, 3))
    coins = tf.random.stateless_uniform([5], coin_seed) < 0.5
    doses = tf.random.stateless_uniform([3], dose_seed)
    low, high = CONTRAST
    return Distortion(
        coins[:4],
        (2.0 * doses[0] - 1.0) * BRIGHTNESS,
        low + doses[1] * (high - low),
        low + doses[2] * (high - low),
        tf.random.stateless_uniform([], hue_seed, *HUE, tf.int32),
        coins[4],
    )


def distort(image: tf.Tensor, distortion: Distortion) -> tf.Tensor:
    """Returns an image with other colors.

    Args:
        image: uint8 `(height, width, 3)`.
        distortion: What to do.
    """
    shape = image.shape
    brighter, contrasted, saturated, hued = tf.unstack(distortion.chosen)

    def contrast(pixels: tf.Tensor) -> tf.Tensor:
        return _to_levels(tf.cast(pixels, tf.float32) * distortion.contrast)

    image = tf.cond(
        brighter,
        lambda: _to_levels(tf.cast(image, tf.float32) + distortion.brightness),
        lambda: image,
    )
    before = contrasted & distortion.contrast_first
    image = tf.cond(before, lambda: contrast(image), lambda: image)
    image = tf.cond(
        saturated, lambda: saturate(image, distortion.saturation), lambda: image
    )
    image = tf.cond(hued, lambda: shift_hue(image, distortion.hue), lambda: image)
    after = contrasted & ~distortion.contrast_first
    image = tf.cond(after, lambda: contrast(image), lambda: image)
    return tf.ensure_shape(image, shape)


def saturate(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Returns an image with its saturation multiplied, uint8 `(height, width, 3)`."""
    hue, saturation, value = to_hsv(image)
    saturation = tf.cast(_to_levels(tf.cast(saturation, tf.float32) * factor), tf.int32)
    return from_hsv(hue, saturation, value)


def shift_hue(image: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Returns an image with its hue moved, uint8 `(height, width, 3)`."""
    hue, saturation, value = to_hsv(image)
    return from_hsv((hue + steps) % _HUES, saturation, value)


def to_hsv(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns hue in 0..179, saturation and value in 0..255.

    Args:
        image: uint8 `(height, width, 3)`, red, green, blue.

    Returns:
        int32 `(height, width)` each.

    Source: OpenCV 4, its conversion of 8-bit colors.
    """
    red, green, blue = tf.unstack(tf.cast(image, tf.int32), axis=-1)
    value = tf.maximum(tf.maximum(red, green), blue)
    spread = value - tf.minimum(tf.minimum(red, green), blue)
    saturation = (spread * _reciprocals(255.0, value) + _UNIT // 2) // _UNIT
    sixths = tf.where(
        value == red,
        green - blue,
        tf.where(value == green, blue - red + 2 * spread, red - green + 4 * spread),
    )
    hue = (sixths * _reciprocals(_HUES / 6.0, spread) + _UNIT // 2) // _UNIT
    return tf.where(hue < 0, hue + _HUES, hue), saturation, value


def _reciprocals(numerator: float, levels: tf.Tensor) -> tf.Tensor:
    """Returns a fixed-point quotient for each level; 0 for 0."""
    table = [0, *(round(numerator * _UNIT / level) for level in range(1, 256))]
    return tf.gather(tf.constant(table, tf.int32), levels)


def from_hsv(hue: tf.Tensor, saturation: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Returns the colors of what `to_hsv` returns, uint8 `(height, width, 3)`."""
    sixths = tf.cast(hue, tf.float32) * tf.constant(6.0 / _HUES, tf.float32)
    share = tf.cast(saturation, tf.float32) * tf.constant(1.0 / 255.0, tf.float32)
    most = tf.cast(value, tf.float32) * tf.constant(1.0 / 255.0, tf.float32)
    sector = tf.floor(sixths)
    within = sixths - sector
    least = most * (1.0 - share)
    falling = most * _one_minus(share, within)
    rising = most * _one_minus(share, 1.0 - within)
    sector = tf.cast(sector, tf.int32)
    by_sector = (
        (most, falling, least, least, rising, most),
        (rising, most, most, falling, least, least),
        (least, least, rising, most, most, falling),
    )
    channels = [_select(sector, levels) for levels in by_sector]
    return _to_levels(tf.stack(channels, axis=-1) * 255.0)


def _one_minus(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Returns 1 - left * right, rounded once, as OpenCV's fused operation does."""
    product = tf.cast(left, tf.float64) * tf.cast(right, tf.float64)
    return tf.cast(1.0 - product, tf.float32)


def _select(sector: tf.Tensor, levels: tuple[tf.Tensor, ...]) -> tf.Tensor:
    chosen = levels[-1]
    for number in range(len(levels) - 1):
        chosen = tf.where(sector == number, levels[number], chosen)
    return chosen


def _to_levels(values: tf.Tensor) -> tf.Tensor:
    """Returns float values within 0..255, cut off to whole levels, uint8."""
    return tf.cast(tf.clip_by_value(values, 0.0, 255.0), tf.uint8)
