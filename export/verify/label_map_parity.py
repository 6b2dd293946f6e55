"""Compares an exported segmentation model, run in a process of its own, with Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..convert.precisions import Precision
from .label_map_reference import LabelMapReference, LabelMaps
from .parity import run_alone
from .result import Result, costs


@dataclass(frozen=True)
class LabelMapResult(Result):
    """What an exported file answered, held against Keras.

    Attributes:
        maps: The file's label maps, of whole images or of their middles.
        are_whole: Whether they are of whole images, at their own sizes.
        agreement: Share of pixels with Keras' own class, the smallest of all
            signatures.
        miou: Mean intersection over union, in 0..1, where masks are known.
        keras_miou: Keras' own on the same pixels.
    """

    maps: tuple[np.ndarray, ...]
    are_whole: bool
    agreement: float
    miou: float | None
    keras_miou: float | None


def verify(
    artifact: Path, precision: Precision, reference: LabelMapReference
) -> LabelMapResult:
    """Runs an exported file in a fresh process and compares it with Keras.

    Args:
        artifact: A SavedModel's folder or a TFLite file.
        precision: Which limits hold.
        reference: Keras' label maps.

    Raises:
        ExportError: The file does not run at all.
    """
    answers = run_alone(artifact, reference)
    agreement = pixel_agreement(reference.tensor_maps, answers["answers"])
    problems: list[str] = []
    maps, expected = tuple(answers["answers"]), tuple(reference.tensor_maps)
    masks: LabelMaps | None = reference.tensor_masks
    are_whole = "map_0" in answers
    if are_whole:
        maps, expected = _numbered(answers, "map_"), reference.maps
        masks = reference.masks
        others, problems = _check_signatures(answers, maps, reference)
        agreement = min(agreement, others)
    if agreement < precision.least_pixel_agreement:
        problems.append(
            f"the share of pixels with Keras' class is {agreement:.2%}, at least "
            f"{precision.least_pixel_agreement:.1%} is wanted"
        )
    # Else a share of the classes' own numbers would be counted.
    fits = all(one.shape == two.shape for one, two in zip(maps, expected, strict=True))
    found = reference.miou(masks, maps) if fits else None
    keras_miou = reference.miou(masks, expected)
    if (
        found is not None
        and keras_miou is not None
        and keras_miou - found > precision.most_miou_lost
    ):
        problems.append(f"its mIoU is {found:.2%}, Keras' {keras_miou:.2%}")
    return LabelMapResult(
        maps,
        are_whole,
        agreement,
        found,
        keras_miou,
        problems=problems,
        **costs(answers),
    )


def pixel_agreement(
    expected: LabelMaps,
    found: LabelMaps,
) -> float:
    """Returns the share of pixels with the same class; 0 where shapes differ.

    Args:
        expected: Label maps, each `(height, width)`.
        found: Other label maps of the same images.
    """
    if [one.shape for one in expected] != [one.shape for one in found]:
        return 0.0
    equal = sum(
        int(np.sum(one == two)) for one, two in zip(expected, found, strict=True)
    )
    return equal / sum(one.size for one in expected)


def _check_signatures(
    answers: dict[str, np.ndarray],
    maps: Sequence[np.ndarray],
    reference: LabelMapReference,
) -> tuple[float, list[str]]:
    """Holds the signatures for whole images against Keras.

    Returns:
        The smallest share of pixels with the same class, and what must not be.
    """
    of_pixels = _numbered(answers, "image_map_")
    agreement = min(
        pixel_agreement(reference.maps, maps),
        pixel_agreement(reference.maps[: len(of_pixels)], of_pixels),
        pixel_agreement(reference.maps[:1], [answers["beside_broken"]]),
    )
    problems = []
    if any(answers["bytes_status"]):
        problems.append("a good image was refused")
    if not answers["broken_status"].item():
        problems.append("a broken image was accepted")
    return agreement, problems


def _numbered(answers: dict[str, np.ndarray], prefix: str) -> tuple[np.ndarray, ...]:
    count = sum(name.startswith(prefix) for name in answers)
    return tuple(answers[f"{prefix}{index}"] for index in range(count))
