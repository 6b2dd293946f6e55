"""GELU and layer normalization that keep less for the backward pass.

Differentiated operation by operation, GELU keeps four tensors of its input's size and
layer normalization three. Written with gradients of their own, each keeps one and
computes the rest again, which costs little: both are bound by memory. Used under
TensorFlow, where no compiler fuses them; the plain forms stand where these are called
(`activations.gelu`, `norm.LayerNorm`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import keras
from keras import ops

_INVERSE_SQRT_2 = 1.0 / math.sqrt(2.0)
_INVERSE_SQRT_2_PI = 1.0 / math.sqrt(2.0 * math.pi)


def is_supported(x: Any) -> bool:
    """Returns True if a tensor is one that the functions here are for.

    Under JAX and PyTorch their compilers decide what is kept, and a symbolic tensor of
    Keras has no values yet.
    """
    return keras.backend.backend() == "tensorflow" and not isinstance(
        x, keras.KerasTensor
    )


def gelu(x: Any) -> Any:
    """Returns `x * Phi(x)` and keeps `x` alone for the gradient.

    Args:
        x: Tensor of any shape.
    """
    return _gelu()(x)


def layer_norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Returns `(x - mean) / sqrt(variance + epsilon) * gamma + beta`, by position.

    Keeps the normalized tensor and one factor a position for the gradient.

    Args:
        x: Tensor `(..., channels)`.
        gamma: Tensor `(channels,)`, of the same type.
        beta: Tensor `(channels,)`, of the same type.
        epsilon: Added to the variance.
    """
    return _layer_norm(epsilon)(x, gamma, beta)


# Made on the first call: Keras' decorator is that of the backend.
@cache
def _gelu() -> Callable[[Any], Any]:
    @ops.custom_gradient
    def gelu(x: Any) -> tuple[Any, Callable[[Any], Any]]:
        def gradient(upstream: Any) -> Any:
            share = 0.5 + 0.5 * ops.erf(x * _INVERSE_SQRT_2)
            density = ops.exp(x * x * -0.5) * _INVERSE_SQRT_2_PI
            return upstream * (share + x * density)

        return 0.5 * x * (1.0 + ops.erf(x * _INVERSE_SQRT_2)), gradient

    function: Callable[[Any], Any] = gelu
    return function


@cache
def _layer_norm(epsilon: float) -> Callable[[Any, Any, Any], Any]:
    @ops.custom_gradient
    def layer_norm(
        x: Any, gamma: Any, beta: Any
    ) -> tuple[Any, Callable[[Any], tuple[Any, Any, Any]]]:
        centered = x - ops.mean(x, axis=-1, keepdims=True)
        # A product and not `ops.square`: TFLite would make one operator of difference
        # and square that its 16-bit integer kernels do not have.
        variance = ops.mean(centered * centered, axis=-1, keepdims=True)
        factor = ops.rsqrt(variance + epsilon)
        normal = centered * factor

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
