"""Global Response Normalization: plain and compiled.

Differentiated operation by operation, it passes over memory some twenty times. The
compiled form takes four passes, each one loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from keras import ops

from keras_convnext.kernels import xla

# Added under the square root of a response's norm: the gradient of sqrt at an all-zero
# channel would be infinite. Its own contribution, sqrt(1e-12) = 1e-6, is below
# float32's resolution of any response that matters.
_SQRT_GUARD = 1e-12


def plain(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Returns `x * (1 + gamma * share) + beta`.

    `share` is the channel's L2 norm over the image, divided by the mean of all
    channels' norms.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        gamma: Tensor `(channels,)`, of the same type.
        beta: Tensor `(channels,)`, of the same type.
        epsilon: Added to the mean of the norms.
    """
    squares = ops.sum(ops.square(x), axis=(1, 2), keepdims=True)
    norms = ops.sqrt(squares + _SQRT_GUARD)
    share = norms / (ops.mean(norms, axis=-1, keepdims=True) + epsilon)
    # gamma * share is one number a channel: one pass over x, not three.
    return x * (1.0 + gamma * share) + beta


def compiled(x: Any, gamma: Any, beta: Any, epsilon: float, dtype: str) -> Any:
    """Returns what `plain` does.

    Keeps `x` and a few numbers a channel for the gradient.

    Args:
        x: Tensor `(batch, height, width, channels)`; 16-bit types are computed in
            float32.
        gamma: Tensor `(channels,)`.
        beta: Tensor `(channels,)`.
        epsilon: Added to the mean of the norms.
        dtype: Type of the result.
    """
    return _compiled(epsilon, dtype)(x, gamma, beta)


# Made on the first call: no TensorFlow is imported under another backend.
@cache
def _compiled(epsilon: float, dtype: str) -> Callable[[Any, Any, Any], Any]:
    import tensorflow as tf

    def mean(x: Any) -> Any:
        return tf.reduce_mean(x, axis=-1, keepdims=True)

    # A program for every pass over memory: in one of all of them XLA computes what
    # stands between the passes again at every position.
    @xla.compile_function
    def squares(x: Any) -> Any:
        (total,) = xla.sum_over_rows(lambda row: (row * row,), x)
        return total

    @xla.compile_function
    def value(x: Any, factor: Any, beta: Any) -> Any:
        return tf.cast(xla.widen(x) * factor + beta, dtype)

    @xla.compile_function
    def sums(x: Any, upstream: Any) -> Any:
        return xla.sum_over_rows(lambda row, above: (row * above, above), x, upstream)

    @xla.compile_function
    def slope(x: Any, upstream: Any, factor: Any, inward: Any) -> Any:
        return tf.cast(xla.widen(upstream) * factor + xla.widen(x) * inward, x.dtype)

    @tf.custom_gradient
    def grn(x: Any, gamma: Any, beta: Any) -> tuple[Any, Callable[[Any], Any]]:
        norms = tf.sqrt(squares(x) + _SQRT_GUARD)
        middle = mean(norms) + epsilon
        share = norms / middle
        factor = 1.0 + gamma * share

        def gradient(upstream: Any) -> tuple[Any, Any, Any]:
            along, total = sums(x, upstream)
            inner = gamma * along
            # The gradient of a norm, over the norm: its own is x over the norm.
            inward = (inner - mean(inner * share)) / (middle * norms)
            return (
                slope(x, upstream, factor, inward),
                tf.reduce_sum(share * along, axis=(0, 1, 2)),
                tf.reduce_sum(total, axis=(0, 1, 2)),
            )

        return value(x, factor, beta), gradient

    function: Callable[[Any, Any, Any], Any] = grn
    return function
