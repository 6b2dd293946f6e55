"""COCO's average precision of boxes, which an export may not lose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_convnext.detection import Objects

from ..images.image_set import TrueObjects

_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_MOST_OBJECTS = 100


def average_precision(truth: Sequence[TrueObjects], found: Sequence[Objects]) -> float:
    """Returns the mean over classes and overlaps of 0.5 to 0.95, 0 to 1.

    Args:
        truth: The objects of each image; crowds count neither way.
        found: What a model finds in each, the best first.

    Returns:
        The first of pycocotools' twelve figures; -1 where there is no object.

    Source: github.com/cocodataset/cocoapi, its COCOeval.
    """
    classes = sorted({int(n) for one in truth for n in one.classes[~one.is_crowd]})
    return float(np.mean([_of_class(n, truth, found) for n in classes] or [-1.0]))


def _of_class(
    number: int, truth: Sequence[TrueObjects], found: Sequence[Objects]
) -> float:
    scores, states, total = [], [], 0
    for wanted, given in zip(truth, found, strict=True):
        is_own = wanted.classes == number
        of_class = np.flatnonzero(given.classes == number)
        chosen = of_class[np.argsort(-given.scores[of_class], kind="stable")]
        chosen = chosen[:_MOST_OBJECTS]
        scores.append(given.scores[chosen])
        crowds = wanted.is_crowd[is_own]
        total += int(np.sum(~crowds))
        overlaps = _overlaps(given.boxes[chosen], wanted.boxes[is_own], crowds)
        states.append([_match(overlaps, crowds, limit) for limit in _THRESHOLDS])
    order = np.argsort(-np.concatenate(scores), kind="stable")
    joined = np.concatenate([np.array(each, int) for each in states], axis=1)
    return float(np.mean([_precision(row[order], total) for row in joined]))


def _overlaps(found: np.ndarray, wanted: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    """Returns intersection over union; with crowds, over the found box's area."""
    one, other = found[:, np.newaxis].astype(np.float64), wanted[np.newaxis]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(
        one[..., :2], other[..., :2]
    )
    common = np.prod(np.maximum(sides, 0), -1)
    areas = [np.prod(boxes[..., 2:] - boxes[..., :2], -1) for boxes in (one, other)]
    union = np.where(crowds, areas[0], areas[0] + areas[1] - common)
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def _match(overlaps: np.ndarray, crowds: np.ndarray, limit: float) -> list[int]:
    """Returns 1 for each object found rightly, 0 wrongly, -1 where none counts."""
    is_free = np.ones(len(crowds), bool)
    states = []
    for row in overlaps:
        state = 0
        # Any object comes before any crowd, which is never used up.
        for kind, value in ((~crowds, 1), (crowds, -1)):
            possible = np.flatnonzero(kind & is_free & (row >= min(limit, 1 - 1e-10)))
            if len(possible):
                best = possible[len(possible) - 1 - np.argmax(row[possible][::-1])]
                is_free[best] = crowds[best]
                state = value
                break
        states.append(state)
    return states


def _precision(states: np.ndarray, total: int) -> float:
    """Returns the mean precision over recalls of objects, the best first."""
    counted = states[states >= 0]
    right = np.cumsum(counted)
    precision = right / (np.arange(len(counted)) + 1 + np.spacing(1))
    # A lower recall is reached with at least the precision of a higher one.
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(right / total, _RECALLS, side="left")
    return float(np.mean(np.append(precision, 0.0)[np.minimum(places, len(counted))]))
