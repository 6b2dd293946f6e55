"""GELU: plain, recomputing, and compiled.

Differentiated operation by operation, GELU keeps four tensors of its input's size and,
with its gradient, passes over memory some fifteen times; on processors that takes
longer than the matrix products around it. The recomputing form keeps one tensor, and
the compiled one passes over memory once in each direction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

from keras import ops

from keras_convnext.kernels import xla

_INVERSE_SQRT_2 = 1.0 / math.sqrt(2.0)
_INVERSE_SQRT_2_PI = 1.0 / math.sqrt(2.0 * math.pi)


def plain(x: Any) -> Any:
    """Returns `x * Phi(x)`.

    Args:
        x: Tensor of any shape.
    """
    return 0.5 * x * (1.0 + ops.erf(x * _INVERSE_SQRT_2))


def recompute(x: Any) -> Any:
    """Returns `x * Phi(x)` and keeps `x` alone for the gradient.

    Args:
        x: Tensor of any shape.
    """
    return _recompute()(x)


def compiled(x: Any) -> Any:
    """Returns what `recompute` does, by one loop over memory.

    Args:
        x: Tensor of any shape; 16-bit types are computed in float32.
    """
    return _compiled()(x)


# Made on the first call: Keras' decorator is that of the backend.
@cache
def _recompute() -> Callable[[Any], Any]:
    @ops.custom_gradient
    def gelu(x: Any) -> tuple[Any, Callable[[Any], Any]]:
        def gradient(upstream: Any) -> Any:
            share = 0.5 + 0.5 * ops.erf(x * _INVERSE_SQRT_2)
            density = ops.exp(x * x * -0.5) * _INVERSE_SQRT_2_PI
            return upstream * (share + x * density)

        return plain(x), gradient

    function: Callable[[Any], Any] = gelu
    return function


# Made on the first call: no TensorFlow is imported under another backend.
@cache
def _compiled() -> Callable[[Any], Any]:
    import tensorflow as tf

    @xla.compile_function
    def value(x: Any) -> Any:
        wide = xla.widen(x)
        result = 0.5 * wide * (1.0 + tf.math.erf(wide * _INVERSE_SQRT_2))
        return tf.cast(result, x.dtype)

    @xla.compile_function
    def slope(x: Any, upstream: Any) -> Any:
        wide = xla.widen(x)
        share = 0.5 + 0.5 * tf.math.erf(wide * _INVERSE_SQRT_2)
        density = tf.exp(wide * wide * -0.5) * _INVERSE_SQRT_2_PI
        return tf.cast(xla.widen(upstream) * (share + wide * density), x.dtype)

    @tf.custom_gradient
    def gelu(x: Any) -> tuple[Any, Callable[[Any], Any]]:
        return value(x), lambda upstream: slope(x, upstream)

    function: Callable[[Any], Any] = gelu
    return function
