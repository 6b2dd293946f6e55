"""A convolution over feature maps of several sizes, as if they had one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

Shape = tuple[int | None, ...]


@keras.saving.register_keras_serializable(package="keras_convnext")
class PyramidConv2D(keras.layers.Conv2D):
    """Convolves maps that are resized to the first one's size and concatenated.

    That large map is never made. Resizing and convolution are both linear, so the
    coarser maps are multiplied by the kernel's taps at their own size, where there are
    fewer positions, and the products are resized, shifted and summed. Resizing is as
    `ResizeLike`'s, and zeros stand around the large map. In UPerNet's last convolution
    at 512x512 pixels that is 37 % of the multiplications, and no map of 2,048 channels.

    Shapes: a list of `(batch, h_i, w_i, channels_i)` in,
    `(batch, h_0, w_0, filters)` out. The variables are those of a `Conv2D` over the
    concatenated map.

    Args:
        filters: Channels of the output.
        kernel_size: Height and width of the kernel in positions; it is padded "same".
        **kwargs: Of `keras.layers.Conv2D`, without strides, dilation and groups.

    Source: arXiv:1807.10221, section 3.1, for the convolution that it computes.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.segmentation import PyramidConv2D
        >>> maps = [np.ones((1, 8, 6, 4)), np.ones((1, 3, 3, 5))]
        >>> layer = PyramidConv2D(2, 3)
        >>> tuple(layer(maps).shape), tuple(layer.kernel.shape)
        ((1, 8, 6, 2), (3, 3, 9, 2))
    """

    def __init__(self, filters: int, kernel_size: int, **kwargs: Any):
        fixed = {"padding": "same", "data_format": "channels_last"}
        super().__init__(filters, kernel_size, **{**kwargs, **fixed})
        # It would be that of one map, here and after `build`.
        self.input_spec = None
        if {*self.strides, *self.dilation_rate, self.groups} != {1}:
            raise ValueError(
                "PyramidConv2D has no strides, dilation or groups; got "
                f"{self.strides}, {self.dilation_rate} and {self.groups}."
            )

    def build(self, input_shape: Sequence[Shape]) -> None:
        channels = sum(shape[-1] or 0 for shape in input_shape)
        super().build((*input_shape[0][:-1], channels))
        self.input_spec = None

    def call(self, inputs: Sequence[Any]) -> Any:
        first, *others = inputs
        size = ops.shape(first)[1:3]
        end = first.shape[-1]
        x = ops.conv(first, self.kernel[:, :, :end], 1, "same", "channels_last")
        for each in others:
            start, end = end, end + each.shape[-1]
            x = x + _resized_products(each, self.kernel[:, :, start:end], size)
        if self.use_bias:
            x = x + self.bias
        return self.activation(x)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        # Keras' own `build` asks with the shape of one map.
        one = input_shape[0] if isinstance(input_shape[0], Sequence) else input_shape
        return (*one[:-1], self.filters)

    def compute_output_spec(self, inputs: Sequence[Any]) -> keras.KerasTensor:
        shape = self.compute_output_shape([each.shape for each in inputs])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)


def _resized_products(x: Any, kernel: Any, size: Sequence[Any]) -> Any:
    """Returns the convolution of a map as large as `size`, from the small one.

    Args:
        x: `(batch, h, w, channels)`.
        kernel: `(rows, columns, channels, filters)`.
        size: Height and width of the large map.
    """
    rows, columns, channels, filters = kernel.shape
    height, width = ops.shape(x)[1:3]
    # Columns before rows, so that what each product sums over lies side by side.
    taps = ops.reshape(ops.transpose(kernel, (2, 1, 0, 3)), (1, 1, channels, -1))
    x = ops.conv(x, taps, 1, "valid", "channels_last")
    x = ops.reshape(x, (-1, height, width * columns, rows * filters))
    x = ops.matmul(_resizing(width, size[1], columns, x.dtype), x)
    x = ops.reshape(x, (-1, height, size[1], rows, filters))
    x = ops.transpose(x, (0, 1, 3, 2, 4))
    x = ops.reshape(x, (-1, height * rows, size[1] * filters))
    x = ops.matmul(_resizing(height, size[0], rows, x.dtype), x)
    return ops.reshape(x, (-1, size[0], size[1], filters))


def _resizing(size: Any, length: Any, taps: int, dtype: str) -> Any:
    """Returns how much each position gets of each product, in one direction.

    Args:
        size: Positions of the small map.
        length: Those of the large one.
        taps: Of the kernel.
        dtype: Of the result.

    Returns:
        `(length, size * taps)`: at `[i, j * taps + k]` the weight of small position `j`
        at large position `i + k - (taps - 1) // 2`, zero outside the large map.
    """
    cell = ops.cast(ops.arange(size, dtype="int32"), "float32")
    place = ops.cast(ops.arange(length, dtype="int32"), "float32") + 0.5
    scale = ops.cast(size, "float32") / ops.cast(length, "float32")
    place = ops.clip(place * scale - 0.5, 0.0, ops.cast(size - 1, "float32"))
    weights = ops.relu(1.0 - ops.abs(place[:, None] - cell[None]))
    around = ops.pad(weights, (((taps - 1) // 2, taps // 2), (0, 0)))
    shifted = [around[tap : tap + length] for tap in range(taps)]
    matrix = ops.reshape(ops.stack(shifted, axis=-1), (length, size * taps))
    return ops.cast(matrix, dtype)
