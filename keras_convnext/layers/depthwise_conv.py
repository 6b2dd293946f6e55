"""Depthwise convolution whose filter gradient is fast on processors."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_convnext import kernels

_TYPES = ("float32", "bfloat16", "float16")


@keras.saving.register_keras_serializable(package="keras_convnext")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` with a gradient of its own where that is faster.

    Same arguments, variables and results, and the same name, which the numbered names
    in weight files come from. TensorFlow computes the filter's gradient on processors
    up to twenty times slower than the layer itself; here it is made of matrix products
    or of convolutions. 16-bit types are computed in float32, for which alone there are
    fast kernels. On GPUs and under other backends the layer is the one it derives from.

    Shapes: `(batch, height, width, channels)` in and out.

    Example:
        >>> import numpy as np
        >>> from keras_convnext import layers
        >>> convolution = layers.DepthwiseConv2D(7, padding="same")
        >>> tuple(convolution(np.ones((2, 14, 14, 8))).shape)
        (2, 14, 14, 8)
    """

    def call(self, inputs: Any) -> Any:
        if not self._is_fast(inputs):
            return super().call(inputs)
        outputs = kernels.depthwise_conv.same(
            ops.cast(inputs, "float32"), ops.cast(self.kernel, "float32")
        )
        outputs = ops.add(outputs, ops.reshape(self.bias, (1, 1, 1, -1)))
        return ops.cast(outputs, self.compute_dtype)

    def _is_fast(self, inputs: Any) -> bool:
        if keras.backend.backend() != "tensorflow":
            return False
        return (
            not isinstance(inputs, keras.KerasTensor)
            and keras.backend.standardize_dtype(inputs.dtype) in _TYPES
            and None not in inputs.shape[1:3]
            and self.kernel_size[0] == self.kernel_size[1]
            and self.kernel_size[0] % 2 == 1
            and (self.strides, self.dilation_rate) == ((1, 1), (1, 1))
            and (self.padding, self.depth_multiplier) == ("same", 1)
            and self.use_bias
            and self.activation is keras.activations.linear
            and not kernels.support.has_gpu()
        )
