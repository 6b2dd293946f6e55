"""GELU and layer normalisation of a training step, each a loop over memory.

Operation by operation, GELU and its gradient pass over memory some fifteen times and
layer normalisation twenty, and on processors that takes longer than the matrix
products between them. Here XLA compiles each into one loop. Only for TensorFlow on
processors and only while training: what is exported is made of plain operators, and
under JAX everything is compiled anyway. The forms that these agree with stand in
`lean` and where these are called (`activations.Activation`, `norm.LayerNorm`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import keras

from keras_convnext.layers import lean

_INVERSE_SQRT_2 = 1.0 / math.sqrt(2.0)
_INVERSE_SQRT_2_PI = 1.0 / math.sqrt(2.0 * math.pi)


def is_of_use(x: Any, training: Any) -> bool:
    """Returns whether a layer's inputs are what the functions here are for."""
    return training is True and lean.is_of_use(x) and not has_gpu()


@cache
def has_gpu() -> bool:
    """Returns whether TensorFlow sees a GPU, where no such gain has been measured."""
    import tensorflow as tf  # only under its own backend

    return bool(tf.config.list_physical_devices("GPU"))


def gelu(x: Any) -> Any:
    """Returns `x * Phi(x)` and keeps `x` alone for the gradient.

    Args:
        x: Tensor of any shape; 16-bit types are computed in float32.
    """
    return _gelu()(x)


def layer_norm(x: Any, gamma: Any, beta: Any, epsilon: float, dtype: str) -> Any:
    """Returns `(x - mean) / sqrt(variance + epsilon) * gamma + beta`, by position.

    Keeps `x` alone for the gradient.

    Args:
        x: Tensor `(..., channels)`; 16-bit types are computed in float32.
        gamma: Tensor `(channels,)`.
        beta: Tensor `(channels,)`.
        epsilon: Added to the variance.
        dtype: Type of the result.
    """
    return _layer_norm(epsilon, dtype)(x, gamma, beta)


# Made on the first call: no TensorFlow is imported under another backend.
@cache
def _gelu() -> Callable[[Any], Any]:
    import tensorflow as tf

    @_compiled
    def value(x: Any) -> Any:
        wide = _wide(x)
        result = 0.5 * wide * (1.0 + tf.math.erf(wide * _INVERSE_SQRT_2))
        return tf.cast(result, x.dtype)

    @_compiled
    def slope(x: Any, upstream: Any) -> Any:
        wide = _wide(x)
        share = 0.5 + 0.5 * tf.math.erf(wide * _INVERSE_SQRT_2)
        density = tf.exp(wide * wide * -0.5) * _INVERSE_SQRT_2_PI
        return tf.cast(_wide(upstream) * (share + wide * density), x.dtype)

    @tf.custom_gradient
    def gelu(x: Any) -> tuple[Any, Callable[[Any], Any]]:
        return value(x), lambda upstream: slope(x, upstream)

    function: Callable[[Any], Any] = gelu
    return function


@cache
def _layer_norm(epsilon: float, dtype: str) -> Callable[[Any, Any, Any], Any]:
    import tensorflow as tf

    def normalised(x: Any) -> tuple[Any, Any]:
        wide = _wide(x)
        centred = wide - tf.reduce_mean(wide, axis=-1, keepdims=True)
        variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
        factor = tf.math.rsqrt(variance + epsilon)
        return centred * factor, factor

    @_compiled
    def value(x: Any, gamma: Any, beta: Any) -> Any:
        return tf.cast(normalised(x)[0] * gamma + beta, dtype)

    @_compiled
    def slope(x: Any, gamma: Any, upstream: Any) -> tuple[Any, Any, Any]:
        normal, factor = normalised(x)
        upstream = _wide(upstream)
        inner = upstream * gamma
        along = tf.reduce_mean(inner * normal, axis=-1, keepdims=True)
        middle = tf.reduce_mean(inner, axis=-1, keepdims=True)
        rest = list(range(len(x.shape) - 1))
        return (
            tf.cast(factor * (inner - middle - normal * along), x.dtype),
            tf.reduce_sum(upstream * normal, axis=rest),
            tf.reduce_sum(upstream, axis=rest),
        )

    @tf.custom_gradient
    def layer_norm(x: Any, gamma: Any, beta: Any) -> tuple[Any, Callable[[Any], Any]]:
        return value(x, gamma, beta), lambda upstream: slope(x, gamma, upstream)

    function: Callable[[Any, Any, Any], Any] = layer_norm
    return function


def _wide(x: Any) -> Any:
    """Returns a tensor in float32 at least."""
    import tensorflow as tf

    return tf.cast(x, keras.backend.result_type(x.dtype.name, "float32"))


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of tensors that XLA makes one program of for each shape."""
    import tensorflow as tf

    compiled: Callable[..., Any] = tf.function(
        function, jit_compile=True, autograph=False
    )
    return compiled
