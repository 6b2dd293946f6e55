"""Evaluates a classifier, image by image of one class each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_convnext._messages import say

from . import augmented_views, label_errors
from .augmented_views import PLAIN
from .metrics import TOP, Predictions, join, predictions_from_probabilities
from .view_rule import ViewRule

if TYPE_CHECKING:
    from keras_convnext.inference.classifier import Classifier

    from ..data.source import Source

_MOST_PRINTED_CLASSES = 20
_WORST_PRINTED_CLASSES = 10
# The matrix of ImageNet-1k's classes has a million numbers, that of 21k 480 million.
_MOST_MATRIX_CLASSES = 1000


def evaluate(
    model: Classifier,
    source: Source,
    order: np.ndarray,
    batch: int,
    rule: ViewRule = PLAIN,
    suspect_labels: bool = False,
) -> tuple[Predictions, float]:
    """Returns what a model says of the validation images, and the seconds it took.

    Args:
        model: Images have exactly one of its labels.
        source: Labeled images.
        order: The model's number of each of the source's classes.
        batch: Images at a time.
        rule: How the model looks at an image.
        suspect_labels: Find the images whose labels are probably wrong, too. Needs all
            probabilities in memory; see `label_errors.fits`.

    Raises:
        UsageError: The model cannot look at an image so.
    """
    started = time.monotonic()
    # Batch by batch: all probabilities of very many classes would fill the memory.
    parts, kept = [], []
    for labels, probabilities in augmented_views.probabilities(
        model, source, batch, rule
    ):
        parts.append(predictions_from_probabilities(order[labels], probabilities))
        if suspect_labels:
            kept.append(probabilities)
    predictions, seconds = join(parts), time.monotonic() - started
    if kept:
        found = label_errors.find(predictions.labels, np.concatenate(kept))
        predictions = replace(predictions, suspected=found)
    return predictions, seconds


def confusion(predictions: Predictions) -> dict[str, Any]:
    """Returns the matrix; of very many classes only the pairs that occur."""
    if predictions.classes <= _MOST_MATRIX_CLASSES:
        return {"confusion": predictions.confusion().tolist()}
    return {"confusion_pairs": predictions.confusion_pairs().tolist()}


def by_class(predictions: Predictions, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Returns a row for each class: how many images, how many were told right."""
    counts = predictions.by_class()
    columns = (counts.images, counts.correct, counts.predicted)
    return [
        {"class": name, "examples": images, "right": right, "answers": answers}
        for name, images, right, answers in zip(
            labels, *(column.tolist() for column in columns), strict=True
        )
    ]


def say_figures(figures: dict[str, Any]) -> None:
    """Prints the figures, and the confusion matrix or the classes told worst."""
    say(f"{figures['model']} on {figures['data']}, {figures['examples']:,} images")
    say(f"  top-1 accuracy       {figures['top1']:.2%}")
    if "kappa" in figures:
        say(f"  mean error           {figures['mae']:.3f} classes")
        say(f"  quadratic kappa      {figures['kappa']:.4f}")
    if len(figures["labels"]) > TOP:
        say(f"  top-5 accuracy       {figures['top5']:.2%}")
    if "real_top1" in figures:
        share, count = figures["real_top1"], figures["real_examples"]
        say(f"  accuracy, ReaL labels {share:.2%} of {count:,} images with any")
    say(f"  cross-entropy        {figures['loss']:.4f}")
    say(f"  calibration error    {figures['calibration_error']:.2%}")
    if "suspected_labels" in figures:
        say(f"  suspected labels     {figures['suspected_labels']:,}")
    say(f"  images per second    {figures['images_per_second']:,.0f}")
    if len(figures["labels"]) > _MOST_PRINTED_CLASSES:
        _say_worst_classes(figures["classes"])
    else:
        _say_confusion(figures)


def _say_confusion(figures: dict[str, Any]) -> None:
    width = max(len(str(max(map(max, figures["confusion"])))), 2) + 1
    longest = max(map(len, figures["labels"]))
    say("confusion matrix: rows are true labels, columns predicted labels; recall last")
    for row, counts in zip(figures["classes"], figures["confusion"], strict=True):
        cells = "".join(f"{number or '.':>{width}}" for number in counts)
        say(f"  {row['class']:<{longest}} {cells}  {_share(row)}")


def _say_worst_classes(classes: list[dict[str, Any]]) -> None:
    """Names the classes that are told worst; --out has all of them."""
    seen = [row for row in classes if row["examples"]]
    worst = sorted(seen, key=lambda row: row["right"] / row["examples"])
    worst = worst[:_WORST_PRINTED_CLASSES]
    longest = max(len(row["class"]) for row in worst)
    say(f"lowest recall of {len(seen):,} classes: images, correct, recall")
    for row in worst:
        counts = f"{row['examples']:>7,} {row['right']:>7,}"
        say(f"  {row['class']:<{longest}} {counts}  {_share(row)}")


def _share(row: dict[str, Any]) -> str:
    """Returns how many of a class's images are told right, in words."""
    return f"{row['right'] / row['examples']:7.1%}" if row["examples"] else "      -"
