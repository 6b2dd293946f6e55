"""Non-maximum suppression: of boxes that overlap, the one with the best score."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_convnext.detection.box_overlap import box_iou

# Boxes that are compared with each other at a time.
_TILE = 256
NO_BOX = -float("inf")


def nms(
    boxes: Any,
    scores: Any,
    groups: Any = None,
    *,
    iou_threshold: float = 0.5,
    max_outputs: int = 100,
) -> tuple[Any, Any]:
    """Keeps boxes in the order of their scores, unless they overlap a kept one.

    The result is that of torchvision's `nms`, or with `groups` of its `batched_nms`,
    cut off after `max_outputs`. All shapes are fixed, so that it compiles: boxes are
    visited by falling score, some hundreds at a time, until there are enough.

    Args:
        boxes: `(batch, boxes, 4)`: y0, x0, y1, x1.
        scores: `(batch, boxes)`; minus infinity stands for no box.
        groups: int32 `(batch, boxes)` or `(boxes,)`, such as classes; boxes suppress
            those of their own group alone.
        iou_threshold: Boxes that overlap by more than this are dropped.
        max_outputs: Boxes that are kept at most.

    Returns:
        int32 `(batch, max_outputs)`, the places of the kept boxes, zeros after the
        last; and int32 `(batch,)`, how many there are.

    Source: arXiv:1311.2524, section 2.3; torchvision 0.29, its `batched_nms`.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.detection import nms
        >>> boxes = np.array([[[0, 0, 9, 9], [0, 1, 9, 9], [20, 20, 29, 29.0]]])
        >>> kept, count = nms(boxes, np.array([[0.8, 0.9, 0.5]]), max_outputs=3)
        >>> kept.numpy().tolist(), count.numpy().tolist()
        ([[1, 2, 0]], [2])
    """
    boxes, scores = ops.convert_to_tensor(boxes), ops.convert_to_tensor(scores)
    batch, total = ops.shape(scores)
    if groups is None:
        groups = ops.zeros((batch, total), "int32")
    groups = ops.broadcast_to(ops.cast(groups, "int32"), (batch, total))
    scores, order = ops.top_k(scores, total)
    order = ops.cast(order, "int32")
    sorted_boxes = ops.take_along_axis(boxes, order[..., None], 1)
    tiles = [
        _tiles(sorted_boxes, 0.0),
        _tiles(ops.take_along_axis(groups, order, 1), 0),
        _tiles(scores, NO_BOX),
        _tiles(order, 0),
    ]
    count_of_tiles = ops.shape(tiles[0])[0]
    # One place more than is asked for takes what is not kept.
    places = max_outputs + 1
    kept = (
        ops.zeros((batch, places, 4), boxes.dtype),
        ops.full((batch, places), -1, "int32"),
        ops.zeros((batch, places), "int32"),
    )

    def is_unfinished(tile: Any, any_left: Any, *_: Any) -> Any:
        return ops.logical_and(tile < count_of_tiles, any_left)

    def visit(tile: Any, _: Any, count: Any, *kept: Any) -> tuple[Any, ...]:
        some, their_groups, their_scores, their_order = (
            ops.take(each, tile, axis=0) for each in tiles
        )
        kept_boxes, kept_groups = kept[:2]
        falls = _suppresses(some, their_groups, kept_boxes, kept_groups, iou_threshold)
        is_kept = ops.logical_and(
            their_scores > NO_BOX, ops.logical_not(ops.any(falls, axis=2))
        )
        is_kept = _settle(is_kept, some, their_groups, iou_threshold)
        rank = count[:, None] + ops.cumsum(ops.cast(is_kept, "int32"), axis=1) - 1
        is_kept = ops.logical_and(is_kept, rank < max_outputs)
        place = ops.where(is_kept, rank, max_outputs)
        values = (some, ops.where(is_kept, their_groups, -1), their_order)
        kept = tuple(
            _put(all_, place, value) for all_, value in zip(kept, values, strict=True)
        )
        count = count + ops.sum(ops.cast(is_kept, "int32"), axis=1)
        # Scores fall: after a tile that ends without a box there are no more.
        any_left = ops.any(
            ops.logical_and(count < max_outputs, their_scores[:, -1] > NO_BOX)
        )
        return (tile + 1, any_left, count, *kept)

    start = (
        ops.convert_to_tensor(0, "int32"),
        ops.convert_to_tensor(True),
        ops.zeros((batch,), "int32"),
        *kept,
    )
    _, _, count, _, _, indices = ops.while_loop(is_unfinished, visit, start)
    return ops.where(are_used(count, max_outputs), indices[:, :max_outputs], 0), count


def are_used(count: Any, places: int) -> Any:
    """Returns which places hold one of `count` `(batch,)` boxes: `(batch, places)`."""
    return ops.arange(places, dtype="int32")[None, :] < count[:, None]


def _tiles(values: Any, fill: float) -> Any:
    """Cuts `(batch, boxes, ...)` into `(tiles, batch, tile, ...)`."""
    shape = ops.shape(values)
    missing = -shape[1] % _TILE
    paddings = [(0, 0), (0, missing), *[(0, 0)] * (len(shape) - 2)]
    padded = ops.pad(values, paddings, constant_values=fill)
    tiled = ops.reshape(padded, (shape[0], -1, _TILE, *shape[2:]))
    return ops.swapaxes(tiled, 0, 1)


def _settle(is_kept: Any, boxes: Any, groups: Any, iou_threshold: float) -> Any:
    """Decides among boxes of one tile, sorted by score.

    A box stays unless one before it stays and overlaps it. Said again and again, this
    holds for one box more each time at least, and mostly for all after a few times.
    """
    earlier = ops.arange(_TILE, dtype="int32")
    is_earlier = earlier[None, :] < earlier[:, None]
    overlaps = ops.logical_and(
        _suppresses(boxes, groups, boxes, groups, iou_threshold), is_earlier
    )

    def is_moving(_: Any, is_changed: Any) -> Any:
        return is_changed

    def say_again(current: Any, _: Any) -> tuple[Any, Any]:
        dropped = ops.any(ops.logical_and(overlaps, current[:, None, :]), axis=2)
        after = ops.logical_and(is_kept, ops.logical_not(dropped))
        return after, ops.any(ops.not_equal(after, current))

    return ops.while_loop(is_moving, say_again, (is_kept, ops.convert_to_tensor(True)))[
        0
    ]


def _suppresses(
    boxes: Any, groups: Any, by: Any, by_groups: Any, iou_threshold: float
) -> Any:
    """Whether each box `(batch, n, 4)` falls to each of `by`: `(batch, n, m)`."""
    iou = box_iou(boxes[:, :, None, :], by[:, None, :, :])
    is_alike = ops.equal(groups[:, :, None], by_groups[:, None, :])
    return ops.logical_and(is_alike, iou > iou_threshold)


def _put(values: Any, place: Any, updates: Any) -> Any:
    """Writes `(batch, tile, ...)` to the places `(batch, tile)` of `values`."""
    batch = ops.shape(place)[0]
    image = ops.broadcast_to(
        ops.arange(batch, dtype="int32")[:, None], ops.shape(place)
    )
    indices = ops.reshape(ops.stack([image, place], -1), (-1, 2))
    updates = ops.reshape(updates, (-1, *ops.shape(updates)[2:]))
    return ops.scatter_update(values, indices, updates)
