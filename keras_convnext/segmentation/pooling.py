"""Adaptive average pooling that takes feature maps of any size."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_convnext")
class AdaptiveAveragePooling2D(keras.layers.Layer):
    """Means over a fixed number of bins in each direction.

    Bin `i` of `size` over `n` cells reaches from `floor(i n / size)` to
    `ceil((i + 1) n / size)`, so neighbors may overlap. Keras' own layer of this name
    gives the same numbers and needs a height and a width that are known when the graph
    is made; an exported network takes images of any size, so here the bins are two
    matrices, one a direction, that are made of the size that comes.

    Shapes: `(batch, height, width, channels)` in, `(batch, size, size, channels)` out.

    Args:
        size: Bins in each direction: positions of the output.

    Source: arXiv:1612.01105, section 3.2; the bins are torch.nn.AdaptiveAvgPool2d's.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.segmentation import AdaptiveAveragePooling2D
        >>> row = np.arange(5, dtype="float32").reshape(1, 1, 5, 1)
        >>> AdaptiveAveragePooling2D(2)(row)[0, 0, :, 0].numpy().tolist()
        [1.0, 3.0]
    """

    def __init__(self, size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs: Any) -> Any:
        height, width = ops.shape(inputs)[1:3]
        rows = ops.cast(_bins(self.size, height), inputs.dtype)
        columns = ops.cast(_bins(self.size, width), inputs.dtype)
        # Rows first: what is left to sum over is then small.
        x = ops.einsum("sh,bhwc->bswc", rows, inputs)
        return ops.einsum("tw,bswc->bstc", columns, x)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (input_shape[0], self.size, self.size, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


def _bins(size: int, length: Any) -> Any:
    """Returns the matrix `(size, length)` that takes the means of a direction."""
    index = ops.arange(size, dtype="int32")
    start = ops.expand_dims((index * length) // size, 1)
    end = ops.expand_dims(-((-(index + 1) * length) // size), 1)
    cell = ops.expand_dims(ops.arange(length, dtype="int32"), 0)
    inside = ops.cast((cell >= start) & (cell < end), "float32")
    return inside / ops.cast(end - start, "float32")
