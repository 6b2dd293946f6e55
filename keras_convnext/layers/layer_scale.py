"""LayerScale: one learned factor a channel on a residual branch."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="keras_convnext")
class LayerScale(keras.layers.Layer):
    """Multiplies every channel by a learned factor that starts close to zero.

    A residual branch scaled this way begins as (almost) nothing, which lets
    deep networks train. Shapes: `(..., channels)` in and out.

    Args:
        init_value: Value that every entry of `gamma` starts with. The paper
            uses 1e-6.

    Attributes:
        gamma: Variable of shape `(channels,)`, kept in the variable dtype.

    Source: arXiv:2103.17239, section 2; arXiv:2201.03545, table 5.

    Example:
        >>> import numpy as np
        >>> from keras_convnext import layers
        >>> np.asarray(layers.LayerScale(0.5)(np.array([[2.0, 4.0]])))
        array([[1., 2.]], dtype=float32)
    """

    def __init__(self, init_value: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.init_value = float(init_value)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.gamma = self.add_weight(
            name="gamma",
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.init_value),
        )

    def call(self, inputs: Any) -> Any:
        return inputs * keras.ops.cast(self.gamma, inputs.dtype)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "init_value": self.init_value}
