"""Evaluates a model whose labels do not exclude each other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_convnext._messages import say

from . import augmented_views
from .augmented_views import PLAIN
from .label_metrics import (
    LabelPredictions,
    binary_cross_entropy,
    f1_scores,
)
from .view_rule import ViewRule

if TYPE_CHECKING:
    from keras_convnext.inference.classifier import Classifier

    from ..data.source import Source

_MOST_PRINTED = 20


def evaluate(
    model: Classifier,
    source: Source,
    order: np.ndarray,
    batch: int,
    rule: ViewRule = PLAIN,
) -> tuple[LabelPredictions, float]:
    """Returns what a model says of the validation images, and the seconds it took.

    Args:
        model: With a probability for each label.
        source: Images with several labels.
        order: The model's number of each of the source's classes.
        batch: Images at a time.
        rule: How the model looks at an image.

    Raises:
        UsageError: The model cannot look at an image so.
    """
    started = time.monotonic()
    truth, probabilities = [], []
    for labels, found in augmented_views.probabilities(model, source, batch, rule):
        given = labels > 0.5
        # Labels that the data do not have apply to no image.
        rows = np.zeros((len(given), len(model.labels)), bool)
        rows[:, order] = given
        truth.append(rows)
        probabilities.append(found)
    both = np.concatenate(truth), np.concatenate(probabilities)
    losses = binary_cross_entropy(*both)
    return LabelPredictions(*both, losses), time.monotonic() - started


def figures_of(predictions: LabelPredictions, model: Classifier) -> dict[str, Any]:
    """Returns what the JSON file of an evaluation has.

    Args:
        predictions: From `evaluate`.
        model: Its labels and thresholds are used: 0.5 where it has none.
    """
    thresholds = np.array(model.thresholds or [0.5] * len(model.labels))
    columns = (
        model.labels,
        predictions.truth.sum(axis=0).tolist(),
        predictions.average_precisions.tolist(),
        thresholds.tolist(),
        f1_scores(predictions.truth, predictions.decide(thresholds)).tolist(),
    )
    return {
        **predictions.figures(thresholds),
        "classes": [
            {
                "class": name,
                "examples": count,
                "ap": None if np.isnan(precision) else precision,
                "threshold": threshold,
                "f1": f1,
            }
            for name, count, precision, threshold, f1 in zip(*columns, strict=True)
        ],
    }


def say_figures(figures: dict[str, Any]) -> None:
    """Prints the figures and a line for each label, the lowest AP first."""
    shown = (
        ("mAP", "map"),
        ("mAP, micro", "map_micro"),
        ("F1 at 0.5", "f1_macro"),
        ("F1 at 0.5, micro", "f1_micro"),
        ("F1 at thresholds", "f1_macro_fitted"),
        ("  micro", "f1_micro_fitted"),
    )
    for words, name in shown:
        say(f"  {words:<20} {figures[name]:.2%}")
    say(f"  binary cross-entropy {figures['loss']:.4f}")
    say(f"  images per second    {figures['images_per_second']:,.0f}")
    seen = [row for row in figures["classes"] if row["ap"] is not None]
    worst = sorted(seen, key=lambda row: row["ap"])[:_MOST_PRINTED]
    longest = max((len(row["class"]) for row in worst), default=0)
    say("the lowest average precision first: images, AP, F1 at the threshold")
    for row in worst:
        say(
            f"  {row['class']:<{longest}} {row['examples']:>7,} {row['ap']:7.1%} "
            f"{row['f1']:7.1%} at {row['threshold']:.3f}"
        )
