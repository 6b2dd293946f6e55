"""Anchors: the boxes that a region proposal network starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

# Source: mmdetection 3.3.0, configs/_base_/models/mask-rcnn_r50_fpn.py.
SCALE = 8.0
RATIOS = (0.5, 1.0, 2.0)


def anchors(
    height: Any,
    width: Any,
    stride: int,
    *,
    scale: float = SCALE,
    ratios: Sequence[float] = RATIOS,
) -> Any:
    """Returns the anchors of a feature map.

    Those of a position are centered at `(row * stride, column * stride)`, without the
    half cell that others add, and are not rounded. All of a position have the same
    area.

    Args:
        height: Of the map, in cells; a number or a scalar tensor.
        width: Likewise, in cells.
        stride: Pixels of the image between two positions.
        scale: Side of the square anchor in strides.
        ratios: Height by width of each anchor of a position.

    Returns:
        float32 `(height * width * ratios, 4)`: y0, x0, y1, x1 in pixels; by row, by
        column, by ratio.

    Source: arXiv:1506.01497, section 3.1.1, as mmdetection 3.3.0 has it.

    Example:
        >>> from keras_convnext.detection import anchors
        >>> anchors(1, 2, 4, ratios=[1.0]).numpy().tolist()
        [[-16.0, -16.0, 16.0, 16.0], [-16.0, -12.0, 16.0, 20.0]]
    """
    side = scale * stride
    sizes = np.array([(side * r**0.5, side / r**0.5) for r in ratios], np.float32)
    around = np.concatenate([-sizes, sizes], 1) / 2
    return place_anchors(around, height, width, (stride, stride))


def place_anchors(
    around: Sequence[Sequence[float]] | np.ndarray,
    height: Any,
    width: Any,
    strides: tuple[Any, Any],
) -> Any:
    """Returns boxes around each position of a feature map, as `anchors` orders them.

    Args:
        around: `(anchors, 4)`: those of the position at `(0, 0)`.
        height: Of the map, in cells; a number or a scalar tensor.
        width: Likewise, in cells.
        strides: Pixels of the image between two rows, and between two columns.
    """
    rows, columns = (
        ops.cast(ops.arange(count, dtype="int32") * stride, "float32")
        for count, stride in zip((height, width), strides, strict=True)
    )
    y, x = ops.meshgrid(rows, columns, indexing="ij")
    centers = ops.reshape(ops.stack([y, x, y, x], -1), (-1, 1, 4))
    around = ops.convert_to_tensor(around, dtype="float32")
    return ops.reshape(centers + around, (-1, 4))
