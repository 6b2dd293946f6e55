"""What is left of a norm when the layer behind it has taken in the rest."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def inverse_std(x: Any, norm: str, epsilon: float) -> Any:
    """Returns one over what a norm divides by, `(..., 1)` for `(..., channels)`.

    Args:
        x: The tensor, float32 or wider.
        norm: "layer" (standard deviation), "rms" (root mean square) or "simple"
            (unbiased standard deviation).
        epsilon: Added under the root.
    """
    # In two passes: the mean of squares less the squared mean would cancel.
    offset = 0.0 if norm == "rms" else ops.mean(x, axis=-1, keepdims=True)
    centered = x - offset
    # A product and not `ops.square`: TFLite would make one operator of difference and
    # square that its 16-bit integer kernels do not have.
    square = ops.mean(centered * centered, axis=-1, keepdims=True)
    if norm == "simple":
        channels = x.shape[-1]
        square = square * (channels / (channels - 1))
    return ops.rsqrt(square + epsilon)


# Registered under the name that files written by version 0.1 hold.
@keras.saving.register_keras_serializable("keras_convnext", name="UnitScale")
class ScaleByInverseStd(keras.layers.Layer):
    """Divides the channels of each position by their deviation, without centering.

    `keras_convnext.fold` puts it in the place of a norm: the norm's scale, its
    offset and its mean subtraction are linear and go into the weights behind it.
    Shapes: `(..., channels)` in and out. Computes in float32 at least.

    Args:
        norm: "layer", "rms" or "simple": which deviation.
        epsilon: Added under the root.

    Example:
        >>> import numpy as np
        >>> from keras_convnext import layers
        >>> np.round(layers.ScaleByInverseStd()(np.array([[1.0, 3.0]])), 3)
        array([[1., 3.]], dtype=float32)
    """

    def __init__(
        self, norm: str = "layer", epsilon: float = 1e-6, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.norm = norm
        self.epsilon = float(epsilon)

    def call(self, inputs: Any) -> Any:
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        scaled = x * inverse_std(x, self.norm, self.epsilon)
        return ops.cast(scaled, self.compute_dtype)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "norm": self.norm, "epsilon": self.epsilon}
