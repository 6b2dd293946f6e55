"""A dense layer over the channels whose training step is cheap on processors."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_convnext import kernels


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
        return kernels.dense.affine(inputs, kernel, bias)

    def quantize(
        self, mode: str | None = None, type_check: bool = True, **kwargs: Any
    ) -> None:
        # With its check Keras refuses every layer that derives from its own.
        super().quantize(mode, type_check=False, **kwargs)

    def _is_fast(self, inputs: Any, training: Any) -> bool:
        return (
            kernels.support.can_compile(inputs, training)
            and len(inputs.shape) > 2
            and self.use_bias
            and self.activation is keras.activations.linear
            and self.quantization_mode is None
            and not self.lora_enabled
        )
