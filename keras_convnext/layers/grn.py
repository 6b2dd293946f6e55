"""Global Response Normalization, the layer that makes ConvNeXt V2."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_convnext import kernels


@keras.saving.register_keras_serializable(package="keras_convnext")
class GlobalResponseNormalization(keras.layers.Layer):
    """Lets channels compete: each is scaled by its share of the response.

    `y = x + beta + gamma * x * n`, where `n` is the channel's L2 norm over the
    image divided by the mean of all channels' norms. Computed in float32 at
    least, because a float16 sum of squares overflows.

    Shapes: `(batch, height, width, channels)` in and out.

    Args:
        epsilon: Added to the mean of the norms.

    Attributes:
        gamma: Variable of shape `(channels,)`, zero at the start.
        beta: Variable of shape `(channels,)`, zero at the start.

    Source: arXiv:2301.00808, section 3.2.

    Example:
        >>> import numpy as np
        >>> from keras_convnext import layers
        >>> features = np.ones((2, 7, 7, 8), "float32")
        >>> grn = layers.GlobalResponseNormalization()
        >>> bool(np.all(np.asarray(grn(features)) == features))  # gamma begins at zero
        True
    """

    def __init__(self, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.epsilon = float(epsilon)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="zeros")
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        gamma, beta = (ops.cast(each, dtype) for each in (self.gamma, self.beta))
        if kernels.support.can_compile(inputs, training):
            return kernels.grn.compiled(
                inputs, gamma, beta, self.epsilon, self.compute_dtype
            )
        outputs = kernels.grn.plain(ops.cast(inputs, dtype), gamma, beta, self.epsilon)
        return ops.cast(outputs, self.compute_dtype)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}
