"""What a convolution of three by three cells sees of some places of feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops


def neighborhoods(levels: Sequence[Any], cells: Any) -> Any:
    """Returns cells of maps with their eight neighbors.

    Args:
        levels: Maps `(batch, h, w, channels)`.
        cells: int32 `(batch, count)`: numbers of cells, row by row, those of each level
            after those of the one before.

    Returns:
        `(batch * count, 3, 3, channels)`: zeros outside of the map.
    """
    steps = ops.arange(3, dtype="int32") - 1
    total: Any = 0
    for level in levels:
        batch, height, width, channels = ops.shape(level)
        y, x = cells // width, cells % width
        y = y[..., None, None] + steps[:, None]
        x = x[..., None, None] + steps[None, :]
        is_inside = ops.logical_and(
            ops.logical_and(y >= 0, y < height), ops.logical_and(x >= 0, x < width)
        )
        is_here = ops.logical_and(cells >= 0, cells < height * width)
        is_inside = ops.logical_and(is_inside, is_here[..., None, None])
        image = ops.arange(batch, dtype="int32")[:, None, None, None]
        numbers = (image * height + y) * width + x
        read = ops.take(
            ops.reshape(level, (-1, channels)),
            ops.reshape(ops.where(is_inside, numbers, 0), (-1,)),
            axis=0,
        )
        total += ops.where(ops.reshape(is_inside, (-1, 1)), read, 0)
        cells -= height * width
    return ops.reshape(total, (-1, 3, 3, channels))
