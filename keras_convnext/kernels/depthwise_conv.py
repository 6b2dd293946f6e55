"""A depthwise convolution's gradient, made of matrix products or of convolutions.

TensorFlow computes the filter's gradient on processors up to twenty times slower than
the convolution itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from keras import ops

# Positions of a map up to which one matrix product a channel gives the filter's
# gradient sooner than convolutions do: always; for each image of the batch, over
# which the products sum; and in any batch, since the work grows with their square.
_FEW_POSITIONS, _POSITIONS_AN_IMAGE, _MOST_POSITIONS = 16, 2, 144
# Numbers of the map that serves as a filter in such a convolution, over the images
# that share one: a quarter of a megabyte stays in a core's cache.
_FILTER_NUMBERS = 2**16


def same(x: Any, kernel: Any) -> Any:
    """Returns the depthwise convolution with padding "same".

    Args:
        x: Tensor `(batch, height, width, channels)`, float32.
        kernel: Tensor `(side, side, channels, 1)`, its side odd.
    """
    return _same(kernel.shape[0])(x, kernel)


# Made on the first call: Keras' decorator is that of the backend.
@cache
def _same(kernel_px: int) -> Callable[[Any, Any], Any]:
    @ops.custom_gradient
    def convolution(x: Any, kernel: Any) -> tuple[Any, Callable[[Any], Any]]:
        def gradient(upstream: Any) -> tuple[Any, Any]:
            flipped = ops.flip(kernel, axis=(0, 1))
            return (
                ops.depthwise_conv(upstream, flipped, padding="same"),
                filter_gradient(x, upstream, kernel_px),
            )

        return ops.depthwise_conv(x, kernel, padding="same"), gradient

    function: Callable[[Any, Any], Any] = convolution
    return function


def filter_gradient(x: Any, upstream: Any, kernel_px: int) -> Any:
    """Returns the gradient of a "same" depthwise convolution's filter.

    Args:
        x: The convolution's input `(batch, height, width, channels)`, float32.
        upstream: The gradient of its output, of the same shape.
        kernel_px: Side of the filter, odd.

    Returns:
        A tensor `(kernel_px, kernel_px, channels, 1)`.
    """
    if _has_few_positions(*x.shape[:3]):
        return _by_products(x, upstream, kernel_px)
    return _by_convolutions(x, upstream, kernel_px)


def _has_few_positions(batch: int | None, height: int, width: int) -> bool:
    """Returns True if products are sooner done; a batch of unknown size is a large one.

    Measured from 7x7 to 12x12 positions, with 8 to 128 images.
    """
    most = _MOST_POSITIONS
    if batch is not None:
        most = min(most, max(_FEW_POSITIONS, _POSITIONS_AN_IMAGE * batch))
    return height * width <= most


def _by_products(x: Any, upstream: Any, kernel_px: int) -> Any:
    """The filter's gradient from matrix products; see `filter_gradient`.

    Every tap is a sum over pairs of an input position and an output position that lie
    that far from each other: one matrix product a channel gives all pairs, summed over
    the batch, and a second one gathers them by tap.
    """
    height, width, channels = x.shape[1:]
    positions = height * width
    by_channel = (
        ops.reshape(ops.transpose(each, (3, 1, 2, 0)), (channels, positions, -1))
        for each in (x, upstream)
    )
    inputs, outputs = by_channel
    pairs = ops.matmul(inputs, ops.transpose(outputs, (0, 2, 1)))
    gather = ops.convert_to_tensor(_pairs_of_taps(height, width, kernel_px))
    taps = ops.matmul(ops.reshape(pairs, (channels, positions**2)), gather)
    return ops.reshape(ops.transpose(taps), (kernel_px, kernel_px, channels, 1))


def _pairs_of_taps(height: int, width: int, kernel_px: int) -> np.ndarray:
    """Returns which pairs belong to which tap: 0 or 1, `(pairs, taps)`."""
    rows, columns = np.divmod(np.arange(height * width), width)
    down = rows[:, None] - rows[None, :] + kernel_px // 2
    right = columns[:, None] - columns[None, :] + kernel_px // 2
    inside = (down >= 0) & (down < kernel_px) & (right >= 0) & (right < kernel_px)
    chosen = np.zeros((inside.size, kernel_px**2), "float32")
    tap = (down * kernel_px + right)[inside]
    chosen[np.flatnonzero(inside), tap] = 1.0
    return chosen


def _by_convolutions(x: Any, upstream: Any, kernel_px: int) -> Any:
    """The filter's gradient from depthwise convolutions; see `filter_gradient`.

    An image's share is its input, padded, convolved with its upstream as the filter:
    the result has the filter's size. A few images at a time lie side by side as
    channels of one convolution, so that what it reads stays in the cache.
    """
    import tensorflow as tf  # only under its own backend

    height, width, channels = x.shape[1:]
    together = max(1, _FILTER_NUMBERS // (height * width * channels))
    margin = kernel_px // 2
    count = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
    # Every convolution takes as many images as the first; zeros add nothing.
    more = [0, -count % together]
    x = tf.pad(x, [more, [margin, margin], [margin, margin], [0, 0]])
    upstream = tf.pad(upstream, [more, [0, 0], [0, 0], [0, 0]])

    def side_by_side(images: Any, first: Any) -> Any:
        """Returns some of `(batch, h, w, c)` as `(h, w, together * c)`."""
        rows, columns = images.shape[1:3]
        some = tf.slice(images, (first, 0, 0, 0), (together, rows, columns, channels))
        return tf.reshape(tf.transpose(some, (1, 2, 0, 3)), (rows, columns, -1))

    def add(first: Any, total: Any) -> tuple[Any, Any]:
        taps = tf.nn.depthwise_conv2d(
            side_by_side(x, first)[None],
            side_by_side(upstream, first)[..., None],
            strides=[1, 1, 1, 1],
            padding="VALID",
        )
        by_image = tf.reshape(taps, (kernel_px, kernel_px, together, channels))
        return first + together, total + tf.reduce_sum(by_image, axis=2)

    none = tf.zeros((kernel_px, kernel_px, channels), x.dtype)
    _, total = tf.while_loop(lambda first, _: first < count, add, (0, none))
    return total[..., None]
