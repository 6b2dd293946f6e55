"""RoIAlign: what feature maps hold inside of boxes, at one size for all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_convnext.detection._windows import mean_over_windows, windows_of

STRIDES = (4, 8, 16, 32)
# A box of this side, in pixels, is the smallest that the second level takes, halved.
# Source: arXiv:1612.03144, section 4.2, as mmdetection 3.3.0 has it.
_FINEST = 56.0


def roi_align(
    levels: Sequence[Any],
    boxes: Any,
    size: int = 7,
    strides: Sequence[int] = STRIDES,
) -> Any:
    """Returns the means of feature maps over a grid of bins in each box.

    Each box reads one level, the coarser the larger it is. A bin is the mean over
    regular points, about one for each cell that it covers, between which the map is
    bilinear. This is mmdetection's `aligned=True, sampling_ratio=0`.

    Gradients go to the maps, and none to the boxes. All shapes are fixed, so that it
    compiles, and it computes in the maps' dtype; positions and weights are float32.

    Args:
        levels: Maps `(batch, h, w, channels)`, fine to coarse.
        boxes: float32 `(batch, boxes, 4)`: y0, x0, y1, x1 in pixels of the image.
        size: Bins in each direction: positions of the output.
        strides: Pixels of the image between positions of each level; each level's is
            twice that of the one before.

    Returns:
        `(batch, boxes, size, size, channels)`; zeros for a box without an area.

    Source: arXiv:1703.06870, section 3; torchvision 0.29, its `roi_align`.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.detection import roi_align
        >>> level = np.ones((1, 8, 8, 1), "float32")
        >>> level[0, :, :, 0] *= np.arange(8)
        >>> aligned = roi_align([level], np.array([[[0, 0, 8, 8.0]]]), 2, [1])
        >>> aligned[0, 0, 0, :, 0].numpy().tolist()
        [1.5, 5.5]
    """
    boxes = ops.stop_gradient(ops.cast(boxes, "float32"))
    shapes = [ops.shape(level) for level in levels]
    batch, count, channels = ops.shape(boxes)[0], ops.shape(boxes)[1], shapes[0][3]
    cells = ops.concatenate(
        [
            ops.reshape(each, (shape[0], -1, channels))
            for each, shape in zip(levels, shapes, strict=True)
        ],
        axis=1,
    )
    level = _level_of(boxes, len(levels))
    image = ops.arange(batch, dtype="int32")[:, None] * ops.shape(cells)[1]
    heights, widths = ([shape[axis] for shape in shapes] for axis in (1, 2))
    begins = [0]
    for height, width in zip(heights[:-1], widths[:-1], strict=True):
        begins.append(begins[-1] + height * width)
    of_boxes = [
        ops.take(ops.stack([ops.cast(each, "int32") for each in of_levels]), level)
        for of_levels in (heights, widths, begins)
    ]
    strides_of_boxes = ops.take(ops.convert_to_tensor(strides, "float32"), level)
    scaled = boxes / strides_of_boxes[..., None] - 0.5
    heights_of, widths_of, begins_of = of_boxes
    windows = windows_of(scaled, heights_of, widths_of, begins_of + image, size)
    aligned = mean_over_windows(ops.reshape(cells, (-1, channels)), windows)
    return ops.reshape(aligned[: batch * count], (batch, count, size, size, channels))


def _level_of(boxes: Any, levels: int) -> Any:
    sides = ops.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    side = ops.sqrt(sides[..., 0] * sides[..., 1])
    level = ops.floor(ops.log(side / _FINEST + 1e-6) / math.log(2))
    return ops.cast(ops.clip(level, 0, levels - 1), "int32")


@keras.saving.register_keras_serializable(package="keras_convnext")
class RoIAlign(keras.layers.Layer):
    """`roi_align` as a layer, whose batch is that of all boxes.

    Shapes: maps `(batch, h, w, channels)` and boxes `(batch, boxes, 4)` in,
    `(batch * boxes, size, size, channels)` out.

    Args:
        size: Bins in each direction: positions of the output.
        strides: Pixels of the image between positions of each level.

    Source: arXiv:1703.06870, section 3.
    """

    def __init__(self, size: int, strides: Sequence[int] = STRIDES, **kwargs: Any):
        # Boxes would lose their last digits.
        super().__init__(autocast=False, **kwargs)
        self.size = size
        self.strides = tuple(strides)

    def call(self, levels: Sequence[Any], boxes: Any) -> Any:
        aligned = roi_align(levels, boxes, self.size, self.strides)
        channels = levels[0].shape[-1]
        return ops.reshape(aligned, (-1, self.size, self.size, channels))

    def compute_output_spec(self, levels: Sequence[Any], boxes: Any) -> Any:
        shape = (None, self.size, self.size, levels[0].shape[-1])
        return keras.KerasTensor(shape, dtype=levels[0].dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "strides": self.strides}
