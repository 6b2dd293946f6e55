"""Assignment: which object each anchor or proposal is to find, if any."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_convnext.detection.box_overlap import box_iou

# What a box is assigned to that is no object's.
BACKGROUND = -1
NOTHING = -2


def assign(
    references: Any,
    boxes: Any,
    is_object: Any,
    is_usable: Any,
    *,
    positive: float,
    negative: float,
    least: float | None = None,
) -> Any:
    """Assigns boxes to the objects that they overlap.

    A box is its best object's from an overlap of `positive` on, and of the background
    below `negative`. With `least`, an object takes its best box too, all of them where
    several tie, from an overlap of `least` on; of several such objects the last counts.

    Args:
        references: `(batch or 1, n, 4)`: y0, x0, y1, x1 of anchors or proposals.
        boxes: `(batch, objects, 4)`, likewise.
        is_object: bool `(batch, objects)`; the rest is padding, at the end.
        is_usable: bool `(batch, n)`; what is not is assigned to nothing, and no
            object's best.
        positive: Intersection over union from which on a box is an object's.
        negative: Below it a box is the background's.
        least: As said above; None for no such boxes.

    Returns:
        int32 `(batch, n)`: the object's number, `BACKGROUND` or `NOTHING`.

    Source: arXiv:1506.01497, section 3.1.2, as mmdetection 3.3.0 has it.
    """
    references, boxes = (
        ops.stop_gradient(ops.cast(each, "float32")) for each in (references, boxes)
    )
    count = ops.max(ops.sum(ops.cast(is_object, "int32"), axis=1))
    nothing = ops.full_like(is_usable, BACKGROUND, dtype="int32")

    def is_left(number: Any, *_: Any) -> Any:
        return number < count

    def compare(
        number: Any, best: Any, best_object: Any, taken_by: Any
    ) -> tuple[Any, ...]:
        one = ops.take(boxes, ops.reshape(number, (1,)), axis=1)
        counts = ops.logical_and(
            ops.take(is_object, ops.reshape(number, (1,)), axis=1), is_usable
        )
        iou = ops.where(counts, box_iou(one, references), -1.0)
        best_object = ops.where(iou > best, number, best_object)
        if least is not None:
            most = ops.max(iou, axis=1, keepdims=True)
            is_best = ops.logical_and(iou == most, iou >= least)
            taken_by = ops.where(is_best, number, taken_by)
        return number + 1, ops.maximum(best, iou), best_object, taken_by

    start = (
        ops.convert_to_tensor(0, "int32"),
        ops.full_like(is_usable, -1.0, dtype="float32"),
        nothing,
        nothing,
    )
    _, best, best_object, taken_by = ops.while_loop(is_left, compare, start)
    assigned = ops.where(best < negative, BACKGROUND, NOTHING)
    assigned = ops.where(best >= positive, best_object, assigned)
    assigned = ops.where(taken_by >= 0, taken_by, assigned)
    return ops.where(is_usable, assigned, NOTHING)
