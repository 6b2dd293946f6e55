"""How much boxes overlap: intersection over union, and its generalized form."""

from __future__ import annotations

from typing import Any

from keras import ops

# Unions and hulls count as no smaller. Source: mmdetection 3.3.0, its GIoULoss.
_LEAST_AREA = 1e-6


def box_iou(boxes: Any, others: Any) -> Any:
    """Returns intersection over union of boxes, 0 for two without an area.

    Args:
        boxes: `(..., 4)`: y0, x0, y1, x1.
        others: Likewise, of a shape that goes with `boxes`.

    Source: arXiv:1506.01497, section 3.1.2.
    """
    common, union = _common_and_union(boxes, others)
    return ops.where(union > 0, common / ops.where(union > 0, union, 1), 0)


def box_giou(boxes: Any, others: Any) -> Any:
    """Returns generalized intersection over union of boxes, -1 to 1.

    What the two leave of the smallest box around both is subtracted, so that boxes
    which do not touch have a gradient.

    Args:
        boxes: `(..., 4)`: y0, x0, y1, x1.
        others: Likewise, of a shape that goes with `boxes`.

    Source: arXiv:1902.09630, algorithm 1.
    """
    common, union = _common_and_union(boxes, others)
    union = ops.maximum(union, _LEAST_AREA)
    sides = ops.maximum(boxes[..., 2:], others[..., 2:]) - ops.minimum(
        boxes[..., :2], others[..., :2]
    )
    sides = ops.maximum(sides, 0)
    hull = ops.maximum(sides[..., 0] * sides[..., 1], _LEAST_AREA)
    return common / union - (hull - union) / hull


def has_area(boxes: Any) -> Any:
    """Returns which boxes `(..., 4)` have sides above zero, bool `(...)`."""
    return ops.all(boxes[..., 2:] > boxes[..., :2], axis=-1)


def _area(boxes: Any) -> Any:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _common_and_union(boxes: Any, others: Any) -> tuple[Any, Any]:
    sides = ops.minimum(boxes[..., 2:], others[..., 2:]) - ops.maximum(
        boxes[..., :2], others[..., :2]
    )
    sides = ops.maximum(sides, 0)
    common = sides[..., 0] * sides[..., 1]
    return common, _area(boxes) + _area(others) - common
