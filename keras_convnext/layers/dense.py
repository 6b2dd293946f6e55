"""A dense layer over the channels whose training step is cheap on processors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
from keras import ops

from keras_convnext.layers import fused


@keras.saving.register_keras_serializable(package="keras_convnext")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense` with a gradient of its own while training on processors.

    Same arguments, variables and results. All products run on
    `(positions, channels)`, where TensorFlow makes one kernel of product and bias; the
    bias' gradient is a product with ones, and the kernel's is turned around where its
    other side is the faster one.

    Shapes: `(..., channels)` to `(..., units)`.

    Example:
        >>> import numpy as np
        >>> from keras_convnext import layers
        >>> tuple(layers.Dense(32)(np.ones((2, 7, 7, 8))).shape)
        (2, 7, 7, 32)
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not self._is_fast(inputs, training):
            return super().call(inputs, training=training)
        kernel, bias = (ops.cast(v, inputs.dtype) for v in (self.kernel, self.bias))
        return _affine()(inputs, kernel, bias)

    def quantize(
        self, mode: str | None = None, type_check: bool = True, **kwargs: Any
    ) -> None:
        # With its check Keras refuses every layer that derives from its own.
        super().quantize(mode, type_check=False, **kwargs)

    def _is_fast(self, inputs: Any, training: Any) -> bool:
        return (
            fused.is_supported(inputs, training)
            and len(inputs.shape) > 2
            and self.use_bias
            and self.activation is keras.activations.linear
            and self.quantization_mode is None
            and not self.lora_enabled
        )


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
