"""Layer normalization of each position's channels: plain, recomputing, and compiled.

Differentiated operation by operation, it keeps three tensors of its input's size and
passes over memory some twenty times. The recomputing form keeps one, and the compiled
one is a few loops over memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from keras import ops

from keras_convnext.kernels import xla


def plain(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Returns `(x - mean) / sqrt(variance + epsilon) * gamma + beta`, by position.

    Args:
        x: Tensor `(..., channels)`.
        gamma: Tensor `(channels,)`, of the same type.
        beta: Tensor `(channels,)`, of the same type.
        epsilon: Added to the variance.
    """
    return _normalize(x, epsilon)[0] * gamma + beta


def recompute(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Returns what `plain` does.

    Keeps the normalized tensor and one factor a position for the gradient.

    Args:
        x: Tensor `(..., channels)`.
        gamma: Tensor `(channels,)`, of the same type.
        beta: Tensor `(channels,)`, of the same type.
        epsilon: Added to the variance.
    """
    return _recompute(epsilon)(x, gamma, beta)


def compiled(x: Any, gamma: Any, beta: Any, epsilon: float, dtype: str) -> Any:
    """Returns what `plain` does and keeps `x` alone for the gradient.

    Args:
        x: Tensor `(..., channels)`; 16-bit types are computed in float32.
        gamma: Tensor `(channels,)`.
        beta: Tensor `(channels,)`.
        epsilon: Added to the variance.
        dtype: Type of the result.
    """
    return _compiled(epsilon, dtype)(x, gamma, beta)


def _normalize(x: Any, epsilon: float) -> tuple[Any, Any]:
    """Returns the normalized tensor and the factor of each position."""
    centered = x - ops.mean(x, axis=-1, keepdims=True)
    # A product and not `ops.square`: TFLite would make one operator of difference
    # and square that its 16-bit integer kernels do not have.
    variance = ops.mean(centered * centered, axis=-1, keepdims=True)
    factor = ops.rsqrt(variance + epsilon)
    return centered * factor, factor


# Made on the first call: Keras' decorator is that of the backend.
@cache
def _recompute(epsilon: float) -> Callable[[Any, Any, Any], Any]:
    @ops.custom_gradient
    def layer_norm(
        x: Any, gamma: Any, beta: Any
    ) -> tuple[Any, Callable[[Any], tuple[Any, Any, Any]]]:
        normal, factor = _normalize(x, epsilon)

        def gradient(upstream: Any) -> tuple[Any, Any, Any]:
            rest = tuple(range(len(x.shape) - 1))
            inner = upstream * gamma
            along = ops.mean(inner * normal, axis=-1, keepdims=True)
            middle = ops.mean(inner, axis=-1, keepdims=True)
            return (
                factor * (inner - middle - normal * along),
                ops.sum(upstream * normal, axis=rest),
                ops.sum(upstream, axis=rest),
            )

        return normal * gamma + beta, gradient

    function: Callable[[Any, Any, Any], Any] = layer_norm
    return function


# Made on the first call: no TensorFlow is imported under another backend.
@cache
def _compiled(epsilon: float, dtype: str) -> Callable[[Any, Any, Any], Any]:
    import tensorflow as tf

    def normalized(x: Any) -> tuple[Any, Any]:
        wide = xla.widen(x)
        centered = wide - tf.reduce_mean(wide, axis=-1, keepdims=True)
        variance = tf.reduce_mean(centered * centered, axis=-1, keepdims=True)
        factor = tf.math.rsqrt(variance + epsilon)
        return centered * factor, factor

    @xla.compile_function
    def value(x: Any, gamma: Any, beta: Any) -> Any:
        return tf.cast(normalized(x)[0] * gamma + beta, dtype)

    def slope(x: Any, upstream: Any, gamma: Any) -> tuple[Any, Any, Any]:
        normal, factor = normalized(x)
        upstream = xla.widen(upstream)
        inner = upstream * gamma
        along = tf.reduce_mean(inner * normal, axis=-1, keepdims=True)
        middle = tf.reduce_mean(inner, axis=-1, keepdims=True)
        rest = list(range(len(x.shape) - 1))
        return (
            tf.cast(factor * (inner - middle - normal * along), x.dtype),
            tf.reduce_sum(upstream * normal, axis=rest),
            tf.reduce_sum(upstream, axis=rest),
        )

    @partial(xla.compile_function, plain=slope)
    def slope_in_parts(x: Any, upstream: Any, gamma: Any) -> Any:
        def of_part(x: Any, upstream: Any) -> Any:
            return slope(x, upstream, gamma)

        return xla.run_in_parts(of_part, x, upstream)

    @tf.custom_gradient
    def layer_norm(x: Any, gamma: Any, beta: Any) -> tuple[Any, Callable[[Any], Any]]:
        def gradient(upstream: Any) -> Any:
            return slope_in_parts(x, upstream, gamma)

        return value(x, gamma, beta), gradient

    function: Callable[[Any, Any, Any], Any] = layer_norm
    return function
