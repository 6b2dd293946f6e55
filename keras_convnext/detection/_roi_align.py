"""RoIAlign: what feature maps hold inside of boxes, at one size for all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

STRIDES = (4, 8, 16, 32)
# A box of this side, in pixels, is the smallest that the second level takes, halved.
# Source: arXiv:1612.03144, section 4.2, as mmdetection 3.3.0 has it.
_FINEST = 56.0
# Boxes that are computed at a time; it bounds the memory.
_CHUNK = 64


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
    all_cells = ops.shape(cells)[1]
    cells = ops.reshape(cells, (-1, channels))
    level = _level_of(boxes, len(levels))
    image = ops.arange(batch, dtype="int32")[:, None] * all_cells
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
    per_box = [scaled, of_boxes[0], of_boxes[1], of_boxes[2] + image]
    chunks = [_chunks(each) for each in per_box]
    longest = _largest(heights), _largest(widths)
    window = _most_cells(heights, widths, strides[0])

    def align(chunk: tuple[Any, ...]) -> Any:
        return _align(cells, *chunk, size=size, longest=longest, window=window)

    aligned = ops.reshape(ops.map(align, chunks), (-1, size, size, channels))
    aligned = aligned[: batch * count]
    return ops.reshape(aligned, (batch, count, size, size, channels))


def _level_of(boxes: Any, levels: int) -> Any:
    sides = ops.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    side = ops.sqrt(sides[..., 0] * sides[..., 1])
    level = ops.floor(ops.log(side / _FINEST + 1e-6) / math.log(2))
    return ops.cast(ops.clip(level, 0, levels - 1), "int32")


def _largest(numbers: Sequence[Any]) -> Any:
    if all(isinstance(number, int) for number in numbers):
        return max(numbers)
    return ops.max(ops.stack(numbers))


def _most_cells(
    heights: Sequence[Any], widths: Sequence[Any], finest_stride: int
) -> Any:
    """Returns how many cells a box of its level can touch.

    On all levels but the last, boxes have less than a certain area; such a box touches
    three cells more in each direction at most, and most where it is as wide as the map.
    """
    last = heights[-1] * widths[-1]
    if len(heights) == 1:
        return last
    area = (2 * _FINEST / finest_stride) ** 2
    longest = _largest([*heights, *widths])
    if isinstance(longest, int):
        thin = math.ceil(area + 3 * (longest + area / longest) + 9)
    else:
        length = ops.cast(longest, "float32")
        thin = ops.cast(ops.ceil(area + 3 * (length + area / length) + 9), "int32")
    finest = heights[0] * widths[0]
    if all(isinstance(number, int) for number in (thin, last, finest)):
        return min(finest, max(thin, last))
    return ops.minimum(finest, ops.maximum(thin, last))


def _chunks(values: Any) -> Any:
    """Cuts `(batch, boxes, ...)` into `(chunks, chunk, ...)`, filled with zeros."""
    shape = ops.shape(values)
    flat = ops.reshape(values, (-1, *shape[2:]))
    missing = -(shape[0] * shape[1]) % _CHUNK
    padded = ops.pad(flat, [(0, missing), *[(0, 0)] * (len(shape) - 2)])
    return ops.reshape(padded, (-1, _CHUNK, *shape[2:]))


def _align(
    cells: Any,
    boxes: Any,
    heights: Any,
    widths: Any,
    begins: Any,
    *,
    size: int,
    longest: tuple[Any, Any],
    window: Any,
) -> Any:
    """Aligns a chunk of boxes, given in cells of their levels.

    Each box gathers the cells that it touches, by row, and a matrix product takes
    their weighted means.
    """
    rows, row_weights = _axis(boxes[:, 0], boxes[:, 2], heights, longest[0], size)
    columns, column_weights = _axis(boxes[:, 1], boxes[:, 3], widths, longest[1], size)
    cell = ops.arange(window, dtype="int32")[None, :]
    width = columns[1][:, None]
    y = rows[0][:, None] + cell // width
    x = columns[0][:, None] + cell % width
    is_inside = cell < rows[1][:, None] * width
    y, x = ops.where(is_inside, y, 0), ops.where(is_inside, x, 0)
    index = begins[:, None] + y * widths[:, None] + x
    gathered = ops.take(cells, index, axis=0)
    weights = (
        ops.take_along_axis(row_weights, y[..., None], 1)[..., :, None]
        * ops.take_along_axis(column_weights, x[..., None], 1)[..., None, :]
    )
    weights = ops.where(is_inside[..., None, None], weights, 0)
    weights = ops.cast(weights, cells.dtype)
    return ops.einsum("npij,npc->nijc", weights, gathered)


def _axis(
    start: Any, end: Any, lengths: Any, longest: Any, bins: int
) -> tuple[tuple[Any, Any], Any]:
    """Returns what boxes need of the cells in one direction.

    Args:
        start: Of each box, in cells, `(boxes,)`.
        end: Likewise.
        lengths: Cells that the box's map has.
        longest: Cells of the longest map.
        bins: Bins in this direction.

    Returns:
        The first cell that a bin touches and how many follow, itself included; and
        `(boxes, longest, bins)`: how much of a bin comes from each cell.
    """
    extent = end - start
    samples = ops.maximum(ops.ceil(extent / bins), 1)
    step = ops.maximum(extent, 1e-6) / (bins * samples)
    last_cell = ops.cast(lengths - 1, "float32")
    ends = [start + step / 2, start + (bins * samples - 0.5) * step]
    first, last = (ops.floor(ops.clip(each, 0, last_cell)) for each in ends)
    first, last = ops.cast(first, "int32"), ops.cast(last, "int32")
    # The boxes that fill a chunk have no map.
    counts = ops.maximum(ops.minimum(last + 1, lengths - 1) - first + 1, 1)

    start, step, samples, last_cell = (
        each[:, None, None] for each in (start, step, samples, last_cell)
    )
    cell = ops.cast(ops.arange(longest, dtype="int32"), "float32")[None, :, None]
    # Points lie closer than a cell. With one a bin, any of them may be near a cell;
    # with more, they are more than half a cell apart, and six are enough.
    nearest = ops.floor((cell - 1 - start) / step - 0.5)
    nearest = ops.where(samples > 1, nearest, 0)
    number = nearest + ops.arange(max(bins, 6), dtype="float32")
    position = start + (number + 0.5) * step
    is_counted = ops.logical_and(
        ops.logical_and(number >= 0, number < bins * samples),
        ops.logical_and(position >= -1, position <= last_cell + 1),
    )
    near = 1 - ops.abs(ops.minimum(ops.maximum(position, 0), last_cell) - cell)
    weight = ops.where(is_counted, ops.maximum(near, 0), 0) / samples
    weight = ops.where(extent[:, None, None] > 0, weight, 0)
    bin_of = ops.floor(number / samples)[..., None]
    is_of_bin = ops.equal(bin_of, ops.arange(bins, dtype="float32"))
    weights = ops.sum(ops.where(is_of_bin, weight[..., None], 0), axis=2)
    return (first, counts), weights


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
