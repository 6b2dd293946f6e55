"""A dense layer over positions, whose products take the shapes that are fast.

One kernel of product and bias on `(positions, channels)`; the bias' gradient is a
product with ones, and the kernel's is turned around where its other side is the faster
one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


def affine(x: Any, kernel: Any, bias: Any) -> Any:
    """Returns `x @ kernel + bias`, `(..., units)`.

    Args:
        x: Tensor `(..., channels)`, of at least three axes.
        kernel: Tensor `(channels, units)`, of the same type.
        bias: Tensor `(units,)`, of the same type.
    """
    return _affine()(x, kernel, bias)


# Made on the first call: no TensorFlow is imported under another backend.
@cache
def _affine() -> Callable[[Any, Any, Any], Any]:
    import tensorflow as tf

    def rows(x: Any) -> Any:
        return tf.reshape(x, (-1, x.shape[-1]))

    @tf.custom_gradient
    def affine(x: Any, kernel: Any, bias: Any) -> tuple[Any, Callable[[Any], Any]]:
        def gradient(upstream: Any) -> tuple[Any, Any, Any]:
            flat, above = rows(x), rows(upstream)
            ones = tf.ones((1, tf.shape(above)[0]), above.dtype)
            return (
                tf.reshape(tf.matmul(above, kernel, transpose_b=True), tf.shape(x)),
                kernel_gradient(flat, above),
                tf.matmul(ones, above)[0],
            )

        if x.dtype.size == 2 and len(x.shape) == 4:
            # A convolution of one position: the fused product converts 16-bit types.
            product = tf.nn.conv2d(x, kernel[None, None], 1, "VALID")
            return tf.nn.bias_add(product, bias), gradient
        result = tf.nn.bias_add(tf.matmul(rows(x), kernel), bias)
        shape = tf.concat([tf.shape(x)[:-1], tf.shape(bias)], 0)
        return tf.reshape(result, shape), gradient

    function: Callable[[Any, Any, Any], Any] = affine
    return function


def kernel_gradient(x: Any, upstream: Any) -> Any:
    """Returns the gradient of a dense layer's kernel, `(channels, units)`.

    Args:
        x: The layer's inputs `(positions, channels)`.
        upstream: The gradient of its outputs `(positions, units)`.
    """
    import tensorflow as tf

    # The left side is the one that has to be turned: the smaller.
    if x.shape[-1] <= upstream.shape[-1]:
        return tf.matmul(x, upstream, transpose_a=True)
    return tf.transpose(tf.matmul(upstream, x, transpose_a=True))
