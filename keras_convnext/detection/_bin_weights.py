"""How much each cell of a map counts in the bins of a box, in one direction."""

from __future__ import annotations

from typing import Any

from keras import ops


def bin_weights(start: Any, end: Any, lengths: Any, cells: Any, bins: int) -> Any:
    """Returns the weights of cells in the mean over a bin's sampling points.

    A bin has as many points as it covers cells, rounded up over the whole box, at equal
    distances. Between two cells a point counts for both, by distance; up to one cell
    outside of the map for the border's alone; farther out for none. The points on each
    side of a cell are consecutive: their number and their mean place are enough.

    Args:
        start: float32 `(boxes,)`: where each box begins, in cells.
        end: Likewise, where it ends.
        lengths: int32 `(boxes,)`, cells of the map that it lies on.
        cells: int32 `(boxes or 1, n)`, numbers of the cells asked for.
        bins: Bins of a box.

    Returns:
        float32 `(boxes, n, bins)`; zeros for a box without an extent.

    Source: arXiv:1703.06870, section 3; mmdetection's `sampling_ratio=0`.
    """
    start, extent, last = (
        each[:, None, None]
        for each in (start, end - start, ops.cast(lengths - 1, "float32"))
    )
    per_bin = ops.maximum(ops.ceil(extent / bins), 1)
    step = ops.maximum(extent, 1e-6) / (bins * per_bin)
    cell = ops.cast(cells, "float32")[..., None]
    first = ops.arange(bins, dtype="float32") * per_bin
    # The number of a point is its place, and that of the first point half a step in.
    at_cell = (cell - start) / step - 0.5
    until = ops.floor(at_cell)

    def sum_over(begin: Any, stop: Any, slope: Any) -> Any:
        begin = ops.maximum(begin, first)
        stop = ops.minimum(stop, first + per_bin - 1)
        count = ops.maximum(stop - begin + 1, 0)
        mean = start + (begin + stop + 1) / 2 * step
        return count * (1 - slope * (mean - cell))

    one_step = 1 / step
    # The outermost cells count whole outside of the map.
    before = ops.where(cell > 0, -1.0, 0.0)
    after = ops.where(cell < last, 1.0, 0.0)
    total = sum_over(ops.ceil(at_cell - one_step), until, before)
    total = total + sum_over(until + 1, ops.floor(at_cell + one_step), after)
    is_there = ops.logical_and(extent > 0, cell <= last)
    return ops.where(is_there, total / per_bin, 0.0)
