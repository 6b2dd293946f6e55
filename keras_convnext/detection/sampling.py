"""Sampling: the boxes of an image that a loss counts, drawn by a seed."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_convnext.detection.assignment import BACKGROUND, NOTHING

# Constants of a mixing function without known weaknesses.
# Source: github.com/skeeto/hash-prospector, its lowbias32.
_FACTORS = (0x7FEB352D, 0x846CA68B)
_SHIFTS = (16, 15, 16)


def sample(
    assigned: Any, seed: Any, draw: int, *, count: int, most_positive: int
) -> tuple[Any, Any, Any]:
    """Draws boxes: objects' first, then the background's until there are enough.

    Args:
        assigned: int32 `(batch, n)` of `assign`.
        seed: int32 `(batch, 2)`, each image's. The same seed draws the same boxes, on
            every backend and device.
        draw: Number of the draw, for draws that differ.
        count: Boxes that are drawn, if there are as many.
        most_positive: How many of them may be objects'.

    Returns:
        int32 `(batch, count)`, places of the drawn boxes; bool `(batch, count)`, which
        are an object's, at the beginning and at most `most_positive`; bool `(batch,
        count)`, which are drawn: there may be fewer than `count`.

    Source: arXiv:1506.01497, section 3.1.3.
    """
    # There may be fewer boxes, and how many is not always known beforehand.
    assigned = ops.pad(assigned, [(0, 0), (0, count)], constant_values=NOTHING)
    keys = _random_keys(seed, draw, ops.shape(assigned)[1])
    positives, is_positive = _first(assigned >= 0, keys, most_positive)
    negatives, is_negative = _first(assigned == BACKGROUND, keys, count)
    found = ops.sum(ops.cast(is_positive, "int32"), axis=1, keepdims=True)
    others = ops.sum(ops.cast(is_negative, "int32"), axis=1, keepdims=True)
    slot = ops.arange(count, dtype="int32")[None, :]
    of_objects = ops.take_along_axis(
        positives, ops.minimum(slot, most_positive - 1) + 0 * found, axis=1
    )
    of_background = ops.take_along_axis(negatives, ops.maximum(slot - found, 0), axis=1)
    is_positive = slot < found
    is_drawn = slot < found + others
    places = ops.where(is_positive, of_objects, of_background)
    return ops.where(is_drawn, places, 0), is_positive, is_drawn


def _first(wanted: Any, keys: Any, count: int) -> tuple[Any, Any]:
    """Returns the places with the largest keys, and which are wanted."""
    values, places = ops.top_k(ops.where(wanted, keys, -1), count)
    return ops.cast(places, "int32"), values >= 0


def _random_keys(seed: Any, draw: int, length: Any) -> Any:
    """Returns int32 `(batch, length)` from 0 on, by seed, draw and place."""
    seed = ops.cast(seed, "uint32")
    start = _mix(seed[:, :1] + ops.convert_to_tensor(draw, "uint32"))
    start = _mix(ops.bitwise_xor(start, seed[:, 1:]))
    place = ops.cast(ops.arange(length, dtype="int32"), "uint32")[None, :]
    keys = _mix(ops.bitwise_xor(start, _mix(place)))
    return ops.cast(ops.right_shift(keys, ops.convert_to_tensor(1, "uint32")), "int32")


def _mix(value: Any) -> Any:
    """Spreads each bit over all 32; different numbers stay different."""
    for index, shift in enumerate(_SHIFTS):
        by = ops.convert_to_tensor(shift, "uint32")
        value = ops.bitwise_xor(value, ops.right_shift(value, by))
        if index < len(_FACTORS):
            value = value * ops.convert_to_tensor(_FACTORS[index], "uint32")
    return value
