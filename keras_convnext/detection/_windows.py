"""Weighted means over windows of a table of cells, and their gradient.

Windows differ in size by a factor of a hundred. They are sorted by it and taken some at
a time, block after block of their cells, until the largest of those is done: all shapes
are fixed, and little is computed in vain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

from keras_convnext.detection._bin_weights import bin_weights

# Windows that are computed at a time, and cells of each.
_CHUNK = 32
_BLOCK = 256
# Of them that a step takes, for TensorFlow copies at each what it adds to.
_BLOCKS = 4


@dataclass(frozen=True)
class Windows:
    """The cells that boxes touch, sorted by their number, in chunks.

    Attributes:
        order: int32 `(chunks, chunk)`: the boxes' places.
        blocks: int32 `(chunks,)`: blocks of cells that each chunk has.
        values: Of each box, `(chunks, chunk, ...)`: its ends in cells, its map's
            height, width and first cell, and in each direction the first cell that it
            touches and their number.
        bins: Bins of a box in each direction.
    """

    order: Any
    blocks: Any
    values: tuple[Any, ...]
    bins: int

    def block(self, chunks: Any, blocks: Any) -> tuple[Any, Any]:
        """Returns some cells of each window of some chunks.

        Args:
            chunks: Their numbers, `(n,)`.
            blocks: Which cells of each, in the windows' own order, `(n,)`.

        Returns:
            The cells' numbers, int32 `(n * chunk, block)`; and their weights, `(n *
            chunk, block, bins * bins)`.
        """
        boxes, *lengths, begins, top, rows, left, columns = (
            ops.reshape(ops.take(each, chunks, axis=0), (-1, *each.shape[2:]))
            for each in self.values
        )
        columns = columns[:, None]
        first = ops.repeat(blocks * _BLOCK, _CHUNK)[:, None]
        cell = first + ops.arange(_BLOCK, dtype="int32")[None, :]
        y, x = top[:, None] + cell // columns, left[:, None] + cell % columns
        is_inside = cell < rows[:, None] * columns
        numbers = begins[:, None] + y * lengths[1][:, None] + x
        of_rows, of_columns = (
            bin_weights(
                boxes[:, axis], boxes[:, axis + 2], lengths[axis], at, self.bins
            )
            for axis, at in enumerate((y, x))
        )
        weights = of_rows[..., :, None] * of_columns[..., None, :]
        weights = ops.where(is_inside[..., None, None], weights, 0.0)
        return (
            ops.where(is_inside, numbers, 0),
            ops.reshape(weights, (-1, _BLOCK, self.bins * self.bins)),
        )


def windows_of(
    boxes: Any, heights: Any, widths: Any, begins: Any, bins: int
) -> Windows:
    """Returns the cells that boxes touch.

    Args:
        boxes: float32 `(batch, boxes, 4)`: y0, x0, y1, x1 in cells of their maps.
        heights: int32 `(batch, boxes)`: of the maps, in cells.
        widths: Likewise.
        begins: Likewise, each map's first cell.
        bins: Bins of a box in each direction.
    """
    values = [_filled(each) for each in (boxes, heights, widths, begins)]
    rows, columns = (
        _touched(values[0][:, axis], values[0][:, axis + 2], values[1 + axis], bins)
        for axis in (0, 1)
    )
    count = rows[1] * columns[1]
    counts, order = ops.top_k(ops.cast(count, "float32"), ops.shape(count)[0])
    order = ops.reshape(ops.cast(order, "int32"), (-1, _CHUNK))
    most = ops.cast(ops.reshape(counts, (-1, _CHUNK))[:, 0], "int32")
    return Windows(
        order,
        (most + _BLOCK - 1) // _BLOCK,
        tuple(ops.take(each, order, axis=0) for each in (*values, *rows, *columns)),
        bins,
    )


def mean_over_windows(cells: Any, windows: Windows) -> Any:
    """Returns the weighted sums of cells in each bin of each window.

    Args:
        cells: `(cells, channels)`.
        windows: Which cells count.

    Returns:
        `(windows, bins * bins, channels)`, in the order in which the boxes came, and
        some more.
    """
    bins = windows.bins * windows.bins
    chunks = ops.shape(windows.order)[0]
    ends = ops.cumsum(windows.blocks)
    steps = (ends[-1] + _BLOCKS - 1) // _BLOCKS

    def take(step: Any) -> tuple[Any, Any, Any]:
        """Returns places of windows, and their blocks' cells and weights."""
        number = step * _BLOCKS + ops.arange(_BLOCKS, dtype="int32")
        chunk = ops.sum(ops.cast(ends[None, :] <= number[:, None], "int32"), 1)
        # What comes after the last block is outside of every window.
        chunk = ops.minimum(chunk, chunks - 1)
        begin = ops.take(ends - windows.blocks, chunk)
        places = ops.reshape(ops.take(windows.order, chunk, axis=0), (-1,))
        return places, *windows.block(chunk, number - begin)

    @ops.custom_gradient
    def forward(cells: Any) -> tuple[Any, Callable[..., Any]]:
        channels = ops.shape(cells)[1]

        def read(step: Any, result: Any) -> Any:
            places, numbers, weights = take(step)
            weights = ops.cast(ops.transpose(weights, (0, 2, 1)), cells.dtype)
            parts = ops.matmul(weights, ops.take(cells, numbers, axis=0))
            parts = ops.cast(parts, "float32")
            return ops.scatter_update(result, places[:, None], parts, reduction="add")

        def backward(upstream: Any, **_: Any) -> Any:
            def write(step: Any, result: Any) -> Any:
                places, numbers, weights = take(step)
                some = ops.cast(ops.take(upstream, places, axis=0), "float32")
                return ops.scatter_update(
                    result,
                    ops.reshape(numbers, (-1, 1)),
                    ops.reshape(ops.matmul(weights, some), (-1, channels)),
                    reduction="add",
                )

            nothing = ops.zeros(ops.shape(cells), "float32")
            return ops.cast(_count_up(steps, nothing, write), cells.dtype)

        # Zeros as such would be stored in a TFLite file, megabytes of them.
        zero = ops.cast(steps < 0, "float32")
        nothing = ops.broadcast_to(zero, (chunks * _CHUNK, bins, channels))
        return ops.cast(_count_up(steps, nothing, read), cells.dtype), backward

    return forward(cells)


def _count_up(end: Any, start: Any, function: Callable[[Any, Any], Any]) -> Any:
    """Calls a function with 0, 1 ... and what it returned before; not with `end`."""
    result: Any = ops.while_loop(
        lambda number, _: number < end,
        lambda number, result: (number + 1, function(number, result)),
        (ops.convert_to_tensor(0, "int32"), start),
    )[1]
    return result


def _filled(values: Any) -> Any:
    """Returns `(batch, boxes, ...)` as `(all boxes, ...)`, whole chunks of them."""
    shape = ops.shape(values)
    flat = ops.reshape(values, (-1, *shape[2:]))
    missing = -(shape[0] * shape[1]) % _CHUNK
    return ops.pad(flat, [(0, missing), *[(0, 0)] * (len(shape) - 2)])


def _touched(start: Any, end: Any, lengths: Any, bins: int) -> tuple[Any, Any]:
    """Returns the first cell that a box touches in one direction, and how many.

    Args:
        start: Of each box, in cells, `(boxes,)`.
        end: Likewise.
        lengths: Cells that the box's map has.
        bins: Bins in this direction.
    """
    extent = ops.maximum(end - start, 0)
    # From the first sampling point to the last.
    margin = extent / (bins * ops.maximum(ops.ceil(extent / bins), 1)) / 2
    last_cell = ops.cast(lengths - 1, "float32")
    first, last = (
        ops.cast(ops.floor(ops.clip(each, 0, last_cell)), "int32")
        for each in (start + margin, end - margin)
    )
    # The boxes that fill a chunk have no map.
    count = ops.maximum(ops.minimum(last + 1, lengths - 1) - first + 1, 1)
    return first, ops.where(extent > 0, count, 1)
