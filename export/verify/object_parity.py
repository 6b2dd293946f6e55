"""Compares an exported detector, run in a process of its own, with Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_convnext.detection import Objects
from keras_convnext.detection.inference import objects_in_square, objects_of

from ..convert.precisions import Precision
from .object_agreement import Matches, match, share_kept
from .object_reference import ObjectReference
from .parity import run_alone
from .result import Result, costs

# Of masks' probabilities, over the cells of a mask.
_MOST_MASK_DIFFERENCE = 0.1


@dataclass(frozen=True)
class ObjectResult(Result):
    """What an exported file found, held against Keras.

    Attributes:
        objects: Of each image, in its own pixels.
        are_whole: Whether they were found in whole images; else in squares.
        kept: Share of the objects of both that are the same, the smallest of all
            signatures.
        box_px: Largest distance of a side of a box that both found, in pixels.
        score_difference: Largest difference of a score of such a box.
        mask_difference: Largest mean difference of a mask's probabilities; None without
            masks.
        ap: COCO's average precision of its boxes, in 0..1, where objects are known.
        keras_ap: Keras' own on the same images.
    """

    objects: tuple[Objects, ...]
    are_whole: bool
    kept: float
    box_px: float
    score_difference: float
    mask_difference: float | None
    ap: float | None
    keras_ap: float | None


def verify(
    artifact: Path, precision: Precision, reference: ObjectReference
) -> ObjectResult:
    """Runs an exported file in a fresh process and compares it with Keras.

    Args:
        artifact: A SavedModel's folder or a TFLite file.
        precision: Which limits hold.
        reference: Keras' objects.

    Raises:
        ExportError: The file does not run at all.
    """
    answers = run_alone(artifact, reference)
    size_px = reference.tensors.shape[1]
    shapes = [image.shape for image in reference.images]
    problems: list[str] = []
    in_squares = tuple(
        objects_in_square(outputs, shape, size_px)
        for outputs, shape in zip(_rows(answers, "tensors_"), shapes, strict=True)
    )
    objects, expected = in_squares, reference.tensor_objects
    limits = precision.most_box_px, precision.most_score_difference

    def share(wanted: Sequence[Objects], given: Sequence[Objects]) -> float:
        return share_kept(compare(reference, wanted, given), *limits)

    shares = [share(expected, objects)]
    are_whole = "bytes_boxes" in answers
    if are_whole:
        objects, expected = _whole(answers, "bytes_"), reference.objects
        of_pixels = _whole(answers, "images_")
        others = _whole(answers, "beside_broken_")
        shares += [
            share(expected, objects),
            share(expected[: len(of_pixels)], of_pixels),
            share((expected[-1], expected[0]), others),
        ]
        problems += _check_status(answers, [shape[:2] for shape in shapes])
    kept = min(shares)
    if not kept >= precision.least_objects_kept:
        limit = precision.most_box_px
        near = "overlap by half" if limit is None else f"are within {limit:g} px"
        problems.append(
            f"{kept:.2%} of the objects {near} of Keras', of their class and within "
            f"{precision.most_score_difference:g} of their score; at least "
            f"{precision.least_objects_kept:.0%} is wanted"
        )
    if not any(map(len, objects)) or not any(map(len, in_squares)):
        problems.append("it finds no object in any image")
    pairs = compare(reference, expected, objects)
    masks = np.concatenate([each.masks for each in pairs])
    if masks.size and not np.mean(masks) <= _MOST_MASK_DIFFERENCE:
        problems.append(f"masks differ by {np.mean(masks):.2g} on average")
    ap, keras_ap = reference.ap(objects), reference.ap(expected)
    if (
        ap is not None
        and keras_ap is not None
        and not keras_ap - ap <= precision.most_ap_lost
    ):
        problems.append(f"its AP is {ap:.2%}, Keras' {keras_ap:.2%}")
    return ObjectResult(
        objects,
        are_whole,
        kept,
        _largest([each.box_px for each in pairs]),
        _largest([each.scores for each in pairs]),
        _largest([masks]) if masks.size else None,
        ap,
        keras_ap,
        problems=problems,
        **costs(answers),
    )


def compare(
    reference: ObjectReference, expected: Sequence[Objects], found: Sequence[Objects]
) -> list[Matches]:
    """Returns how the objects of each image compare.

    Args:
        reference: Says which objects are told.
        expected: Of each image.
        found: Other objects of the same images.
    """
    return [
        match(one, other, _least_score(reference, one, other))
        for one, other in zip(expected, found, strict=True)
    ]


def _least_score(reference: ObjectReference, one: Objects, other: Objects) -> float:
    """Returns the score that an object had to have in order to be told."""
    least = reference.score_threshold
    if min(len(one), len(other)) == reference.most_objects:
        # There may be more, which were cut off.
        least = max(least, float(min(one.scores[-1], other.scores[-1])))
    return least


def _rows(answers: dict[str, np.ndarray], prefix: str) -> list[dict[str, np.ndarray]]:
    """Returns the outputs of each image, of all whose names begin with a prefix."""
    outputs = {
        name.removeprefix(prefix): values
        for name, values in answers.items()
        if name.startswith(prefix)
    }
    return [
        dict(zip(outputs, row, strict=True))
        for row in zip(*outputs.values(), strict=True)
    ]


def _whole(answers: dict[str, np.ndarray], prefix: str) -> tuple[Objects, ...]:
    """Returns the objects of images, told in their own pixels already."""
    return tuple(objects_of(row, (1, 1), (1, 1)) for row in _rows(answers, prefix))


def _check_status(
    answers: dict[str, np.ndarray], sizes: Sequence[tuple[int, ...]]
) -> list[str]:
    problems = []
    if any(answers["good_status"]):
        problems.append("a good image was refused")
    if not answers["broken_status"].item():
        problems.append("a broken image was accepted")
    if not np.array_equal(answers["sizes"], sizes):
        problems.append("images are said to have other sizes")
    return problems


def _largest(differences: Sequence[np.ndarray]) -> float:
    return float(np.max(np.concatenate(differences), initial=0))
