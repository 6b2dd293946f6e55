"""When two sets of objects in one image are the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_convnext.detection import Objects
from keras_convnext.detection.box_overlap import box_iou

# Boxes that overlap by less are of different objects, as COCO's AP50 has it.
_LEAST_IOU = 0.5
# At an image's edge there are boxes without an area.
_WIDER = np.array([-0.5, -0.5, 0.5, 0.5])


@dataclass(frozen=True)
class Matches:
    """How the objects that were found in an image compare with those expected.

    Attributes:
        box_px: For each pair of one class whose boxes overlap by half, the largest
            distance of a side of the box, in pixels.
        scores: For each such pair the difference of the scores, from 0 up.
        masks: For each such pair the mean difference of the masks, from 0 up; empty
            without masks.
        lonely: By how much each object of either side that is in no pair is above the
            score that it had to have.
    """

    box_px: np.ndarray
    scores: np.ndarray
    masks: np.ndarray
    lonely: np.ndarray


def match(expected: Objects, found: Objects, least_score: float = 0.0) -> Matches:
    """Returns how found objects compare with those expected.

    The best expected object comes first and takes the object of its class that overlaps
    it most and is not taken yet.

    Args:
        expected: Objects of an image, the best first.
        found: Other objects of the same image.
        least_score: What an object has to have in order to be told.
    """
    overlaps = np.array(
        box_iou(expected.boxes[:, np.newaxis] + _WIDER, found.boxes + _WIDER)
    )
    overlaps[expected.classes[:, np.newaxis] != found.classes] = 0
    pairs = []
    for number in range(len(expected) if len(found) else 0):
        best = int(np.argmax(overlaps[number]))
        if overlaps[number, best] >= _LEAST_IOU:
            pairs.append((number, best))
            overlaps[:, best] = 0
    one, other = np.array(pairs, int).reshape(-1, 2).T
    masks = np.zeros(0)
    if expected.masks is not None and found.masks is not None:
        masks = np.abs(expected.masks[one] - found.masks[other]).mean((1, 2))
    lonely = np.delete(expected.scores, one), np.delete(found.scores, other)
    return Matches(
        np.abs(expected.boxes[one] - found.boxes[other]).max(1, initial=0),
        np.abs(expected.scores[one] - found.scores[other]),
        masks,
        np.concatenate(lonely) - least_score,
    )


def share_kept(
    matches: Sequence[Matches], most_box_px: float | None, most_score_difference: float
) -> float:
    """Returns the share of the objects of both sides that are the same, 0 to 1.

    An object in no pair that is nearer to the least score than scores may differ does
    not count: the other side has it, but below.

    Args:
        matches: Of each image.
        most_box_px: Of `box_px`; None where overlapping by half is enough.
        most_score_difference: Of `scores`.

    Returns:
        1 where there is no object at all.
    """
    kept = total = 0
    for each in matches:
        is_kept = each.scores <= most_score_difference
        if most_box_px is not None:
            is_kept &= each.box_px <= most_box_px
        kept += 2 * int(np.sum(is_kept))
        is_counted = ~(each.lonely <= most_score_difference)
        total += 2 * len(is_kept) + int(np.sum(is_counted))
    return kept / total if total else 1.0
