"""Global Response Normalization, the layer that makes ConvNeXt V2."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_convnext.initializers import Constant

# Added under the square root: the gradient of sqrt at an all-zero channel would
# be infinite. Its own contribution, sqrt(1e-12) = 1e-6, is below float32's
# resolution of any response that matters.
_SQRT_GUARD = 1e-12


@keras.saving.register_keras_serializable(package="keras_convnext")
class GlobalResponseNormalization(keras.layers.Layer):
    """Lets channels compete: each is scaled by its share of the response.

    `y = x + beta + gamma * x * n`, where `n` is the channel's L2 norm over the
    picture divided by the mean of all channels' norms. Computed in float32 at
    least, because a float16 sum of squares overflows.

    Shapes: `(batch, height, width, channels)` in and out.

    Args:
        epsilon: Added to the mean of the norms.

    Attributes:
        gamma: Variable of shape `(channels,)`, zero at the start.
        beta: Variable of shape `(channels,)`, zero at the start.

    Source: arXiv:2301.00808, section 3.2.
    """

    def __init__(self, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.epsilon = float(epsilon)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(
            name="gamma", shape=shape, initializer=Constant(0.0)
        )
        self.beta = self.add_weight(name="beta", shape=shape, initializer=Constant(0.0))

    def call(self, inputs: Any) -> Any:
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        x = ops.cast(inputs, dtype)
        squares = ops.sum(ops.square(x), axis=(1, 2), keepdims=True)
        norms = ops.sqrt(squares + _SQRT_GUARD)
        share = norms / (ops.mean(norms, axis=-1, keepdims=True) + self.epsilon)
        gamma = ops.cast(self.gamma, dtype)
        beta = ops.cast(self.beta, dtype)
        # gamma * share is one number a channel: one pass over x, not three.
        outputs = x * (1.0 + gamma * share) + beta
        return ops.cast(outputs, self.compute_dtype)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}
