"""Images padded to whole cells of the coarsest feature map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

# Cells of the coarsest map that heads read have this side in pixels.
MULTIPLE = 32


@keras.saving.register_keras_serializable(package="keras_convnext")
class PadImage(keras.layers.Layer):
    """Pads images on the right and below, to multiples of `multiple` pixels.

    Shapes: `(batch, height, width, channels)` in and out.

    Args:
        multiple: In pixels.
        color: What is padded with, a number a channel or one for all. The mean color
            is zero once it is normalized.

    Source: mmdetection 3.3.0, its `pad_size_divisor`.
    """

    def __init__(
        self, multiple: int, color: float | Sequence[float] = 0.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.multiple = multiple
        self.color = color

    def call(self, inputs: Any) -> Any:
        height, width, channels = ops.shape(inputs)[1:]
        below, right = (-side % self.multiple for side in (height, width))
        color = np.broadcast_to(np.asarray(self.color, np.float32), (channels,))
        color = ops.convert_to_tensor(color, dtype=inputs.dtype)
        ones = ops.pad(
            ops.ones_like(inputs[..., :1]), [(0, 0), (0, below), (0, right), (0, 0)]
        )
        padded = ops.pad(inputs, [(0, 0), (0, below), (0, right), (0, 0)])
        return ops.where(ones > 0, padded, color)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        sides = (
            None if side is None else side + -side % self.multiple
            for side in input_shape[1:3]
        )
        return (input_shape[0], *sides, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "multiple": self.multiple,
            "color": self.color,
        }
