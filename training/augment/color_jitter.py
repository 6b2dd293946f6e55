"""Color jitter: brightness, contrast and color, each by a random factor."""

from __future__ import annotations

import tensorflow as tf

from . import color_ops as operations

_CHANGES = (operations.brightness, operations.contrast, operations.color)


def jitter_colors(image: tf.Tensor, seed: tf.Tensor, strength: float) -> tf.Tensor:
    """Returns an image changed three times, in a random order.

    Args:
        image: uint8 `(height, width, 3)`.
        seed: int64 `(2,)`.
        strength: The factors lie evenly between 1 - strength, at least 0, and
            1 + strength.
    """
    shape = image.shape
    draws = tf.random.stateless_uniform([2, len(_CHANGES)], seed)
    lowest = max(0.0, 1.0 - strength)
    factors = lowest + draws[0] * (1.0 + strength - lowest)
    order = tf.argsort(draws[1])
    for place in range(len(_CHANGES)):
        image = _changed(image, order[place], factors)
    return tf.ensure_shape(image, shape)


def _changed(image: tf.Tensor, number: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    branches = [
        lambda i=i, change=change: change(image, factors[i])
        for i, change in enumerate(_CHANGES)
    ]
    return tf.switch_case(number, branches)
