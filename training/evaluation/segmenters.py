"""Evaluates a model that labels pixels, by the rules of published figures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_convnext._messages import UsageError, say
from keras_convnext.segmentation import checkpoints, count_pixels, predict_label_map
from keras_convnext.segmentation.palette import ade20k_classes

from .label_maps import LabelMapResults, sum_up
from .view_rule import ViewRule

if TYPE_CHECKING:
    from keras_convnext.inference.segmenter import Segmenter

    from ..data.mask_source import MaskSource

_IGNORED = -1
# Whose figures stand beside an evaluation on ADE20K.
_PUBLISHERS = ("meta", "openmmlab")


def evaluate(
    model: Segmenter, source: MaskSource, order: np.ndarray, rule: ViewRule
) -> tuple[LabelMapResults, float]:
    """Counts the pixels of every validation image, each at its own size.

    Args:
        model: What is evaluated.
        source: The images and their masks.
        order: For each class of the data, the model's number for it.
        rule: How the model looks at an image.

    Returns:
        Counts in the model's classes, and the seconds that the model took.

    Raises:
        UsageError: The model cannot look at an image so.
    """
    if model.predict is None and not rule.is_plain:
        raise UsageError(
            f"{model.name} gives label maps alone: --slide, --scales and --flip are "
            "for .keras files, runs and published checkpoints"
        )
    classes, seconds = len(model.labels), 0.0
    size_px = model.preprocessing.size_px

    def label(image: np.ndarray) -> np.ndarray:
        if model.predict is None or rule.is_plain:
            return model.label_map(image)
        return predict_label_map(
            model.predict,
            image,
            size_px,
            slide=rule.slide,
            ratios=rule.scales,
            flip=rule.flip,
        )

    def rows() -> Iterator[dict[str, np.ndarray]]:
        nonlocal seconds
        for image, mask in source.each_validation_image():
            began = time.monotonic()
            found = label(image)
            seconds += time.monotonic() - began
            truth = _renumber(mask, order)
            yield {"counts": count_pixels(truth, found, classes, _IGNORED)[np.newaxis]}

    return sum_up(rows(), classes), seconds


def _renumber(mask: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Returns a mask in the model's numbers."""
    valid = mask < len(order)
    return np.where(valid, order[np.where(valid, mask, 0)], _IGNORED)


def figures_of(
    results: LabelMapResults, labels: Sequence[str], rule: ViewRule, variant: str
) -> dict[str, Any]:
    """Returns the metrics, a row for each class, and what is published beside them.

    Args:
        results: Of `evaluate`.
        labels: The model's classes.
        rule: How the model looked at images.
        variant: The model's backbone, where it is known.
    """
    scores, pixels = results.scores, results.counts.sum(axis=1)
    return {
        "miou": scores.mean_iou,
        "macc": scores.mean_accuracy,
        "aacc": scores.pixel_accuracy,
        "slide": rule.slide,
        "scales": list(rule.scales),
        "flip": rule.flip,
        "classes": [
            {
                "class": name,
                "iou": _known(scores.iou[number]),
                "accuracy": _known(scores.accuracy[number]),
                "pixels": int(pixels[number]),
            }
            for number, name in enumerate(labels)
        ],
        "confusion": results.counts.tolist(),
        **_published(labels, variant),
    }


def _known(value: float) -> float | None:
    """Returns a figure, None for a class that has none."""
    return None if np.isnan(value) else float(value)


def _published(labels: Sequence[str], variant: str) -> dict[str, Any]:
    """Returns what is published of ADE20K; nothing where other classes are labeled."""
    if tuple(labels) != ade20k_classes():
        return {}
    rows = [
        {
            "model": name,
            "miou": record.miou,
            "miou_multi_scale": record.miou_multi_scale,
            "source": record.figures_from,
        }
        for name, record in checkpoints.records().items()
        if record.miou is not None
        and record.weights.publisher in _PUBLISHERS
        and variant in ("", record.weights.variant)
    ]
    return {"published": rows}


def say_figures(figures: dict[str, Any], rule: ViewRule) -> None:
    """Says the metrics, a line for each class, and what is published."""
    say(f"  mean IoU             {figures['miou']:.2%} ({rule.words})")
    say(f"  mean class accuracy  {figures['macc']:.2%}")
    say(f"  pixel accuracy       {figures['aacc']:.2%}")
    say(f"  images per second    {figures['images_per_second']:,.2f}")
    longest = max(len(row["class"]) for row in figures["classes"])
    say(f"  {'class':<{longest}}      IoU  accuracy        pixels")
    for row in figures["classes"]:
        shares = f"{_percent(row['iou']):>7}  {_percent(row['accuracy']):>8}"
        say(f"  {row['class']:<{longest}}  {shares}  {row['pixels']:>12,}")
    for row in figures.get("published", ()):
        say(
            f"published: {row['model']}, ADE20K's validation images: {row['miou']} % "
            f"by windows, {row['miou_multi_scale']} % in six scales and flipped "
            f"({row['source']})"
        )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"
