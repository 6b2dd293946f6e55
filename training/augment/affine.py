"""Affine moves of an image with Pillow's bicubic sampling.

For every pixel of the result a place in the image is computed and the 4x4 pixels
around it are weighed. Places outside of the image get the fill color. The kernel
is the cubic with a = -1, which Pillow takes here; its `resize` takes a = -1/2.
"""

from __future__ import annotations

import math

import tensorflow as tf


def shear_x(image: tf.Tensor, factor: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Samples every row `factor` times its height to the right."""
    return _slid(image, factor * _middles(tf.shape(image)[0]), fill, axis=1)


def shear_y(image: tf.Tensor, factor: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Samples every column `factor` times its place further down."""
    return _slid(image, factor * _middles(tf.shape(image)[1]), fill, axis=0)


def translate_x(image: tf.Tensor, share: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Samples `share` of the width to the right."""
    sides = tf.shape(image)
    pixels = share * tf.cast(sides[1], tf.float32)
    return _slid(image, tf.fill(sides[:1], pixels), fill, axis=1)


def translate_y(image: tf.Tensor, share: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Samples `share` of the height further down."""
    sides = tf.shape(image)
    pixels = share * tf.cast(sides[0], tf.float32)
    return _slid(image, tf.fill(sides[1:2], pixels), fill, axis=0)


def _middles(count: tf.Tensor) -> tf.Tensor:
    """Returns the positions of the middles of so many pixels in a row."""
    return tf.cast(tf.range(count), tf.float32) + 0.5


def rotate(image: tf.Tensor, degrees: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Turns an image about its middle, anticlockwise."""
    angle = -degrees * (math.pi / 180.0)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    down, across = sides[0] / 2.0, sides[1] / 2.0
    right = across - cosine * across - sine * down
    low = down + sine * across - cosine * down
    return _sampled(image, [cosine, sine, right, -sine, cosine, low], fill)


def _slid(image: tf.Tensor, pixels: tf.Tensor, fill: tf.Tensor, axis: int) -> tf.Tensor:
    """Returns the image with every row or column sampled so many pixels further on.

    The four pixels that count lie in the line itself, and count the same all along it.

    Args:
        image: uint8 `(height, width, 3)`.
        pixels: float32, one for each row (axis 1) or each column (axis 0).
        fill: uint8 `(3,)`, for places outside.
        axis: Along which the pixels move.

    Returns:
        uint8 `(height, width, 3)`.
    """
    sides = tf.shape(image)[:2]
    rows, columns = tf.range(sides[0])[:, None], tf.range(sides[1])[None]
    pixels = tf.expand_dims(pixels, axis)
    before = tf.floor(pixels)
    weights = _weights(pixels - before)
    along = (rows, columns)[axis] + tf.cast(before, tf.int32)
    flat = tf.cast(tf.reshape(image, (-1, 3)), tf.float32)
    total = tf.zeros(tf.shape(image), tf.float32)
    for tap, weight in enumerate(weights):
        place = tf.clip_by_value(along + (tap - 1), 0, sides[axis] - 1)
        number = place * sides[1] + columns if axis == 0 else rows * sides[1] + place
        total += weight[..., None] * tf.gather(flat, number)
    places = tf.cast((rows, columns)[axis], tf.float32) + 0.5 + pixels
    inside = (places >= 0) & (places < tf.cast(sides[axis], tf.float32))
    return _filled(total, inside, fill)


def _filled(total: tf.Tensor, inside: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Returns whole levels, and the fill where places lie outside.

    Args:
        total: float32 `(height, width, 3)`.
        inside: bool `(height, width)`.
        fill: uint8 `(3,)`.
    """
    levels = tf.cast(tf.clip_by_value(total, 0.0, 255.0), tf.uint8)
    return tf.where(inside[..., None], levels, fill)


def _sampled(image: tf.Tensor, matrix: list[tf.Tensor], fill: tf.Tensor) -> tf.Tensor:
    """Returns the image sampled at the places that an affine matrix gives.

    Args:
        image: uint8 `(height, width, 3)`.
        matrix: float32 a, b, c, d, e, f: pixel (x, y) of the result shows the place
            (a x + b y + c, d x + e y + f), both measured from the outer corner.
        fill: uint8 `(3,)`, for places outside.

    Returns:
        uint8 `(height, width, 3)`.
    """
    a, b, c, d, e, f = matrix
    shape = tf.shape(image)
    height, width = shape[0], shape[1]
    x = tf.cast(tf.range(width), tf.float32)[None, :] + 0.5
    y = tf.cast(tf.range(height), tf.float32)[:, None] + 0.5
    across, down = a * x + b * y + c, d * x + e * y + f
    tall, wide = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    inside = (across >= 0) & (across < wide) & (down >= 0) & (down < tall)

    columns, column_weights = _taps(across)
    rows, row_weights = _taps(down)
    columns = tf.clip_by_value(columns, 0, width - 1)
    rows = tf.clip_by_value(rows, 0, height - 1) * width
    pixels = tf.cast(tf.reshape(image, [-1, 3]), tf.float32)
    total = tf.zeros(tf.shape(image), tf.float32)
    for row in range(4):
        line = tf.zeros_like(total)
        for column in range(4):
            found = tf.gather(pixels, rows[row] + columns[column])
            line += column_weights[column][..., None] * found
        total += row_weights[row][..., None] * line
    return _filled(total, inside, fill)


def _taps(places: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Returns the four pixels around each place, and what each of them counts.

    Returns:
        int32 `(4, ...)`, and four float32 tensors of the shape of `places`.
    """
    centered = places - 0.5
    before = tf.floor(centered)
    t = centered - before
    numbers = tf.cast(before, tf.int32)[None] + tf.reshape(tf.range(-1, 3), [4, 1, 1])
    return numbers, _weights(t)


def _weights(t: tf.Tensor) -> list[tf.Tensor]:
    """Returns the weights of the four pixels around a place, `t` after the second."""
    return [
        ((-t + 2.0) * t - 1.0) * t,
        (t - 2.0) * t * t + 1.0,
        ((-t + 1.0) * t + 1.0) * t,
        (t - 1.0) * t * t,
    ]
