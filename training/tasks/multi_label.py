"""Several labels an image, or none: each has a probability by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import keras
from keras import ops

from ..data import class_balance
from ..data.source import Source
from ..evaluation import label_metrics
from ..evaluation.label_metrics import FittedLabels
from ..recipes.metric import METRICS
from ..recipes.recipe import Recipe
from ..report import labels_html
from . import classification, losses
from .task import Evaluation, Measure, Rows


def build_inference_model(
    recipe: Recipe, trained: keras.Model, source: Source
) -> keras.Model:
    """Builds the model that `model.keras` holds: probabilities by a sigmoid."""
    return classification.make_inference_model(recipe, trained, source, "sigmoid")


def make_losses(recipe: Recipe, source: Source) -> Measure:
    """Returns a function from logits and labels to "loss".

    Args:
        recipe: Its `loss`, `label_smoothing`, `target_threshold` and `class_balance`
            are used.
        source: Its training labels are counted where they are to be weighed.
    """
    loss = losses.LOSSES[recipe.loss]
    if recipe.class_balance == "weights":
        weights = class_balance.positive_weights(source)
        loss = partial(losses.weighted_sigmoid_loss, positive_weights=weights)

    def losses_of(outputs: Any, labels: Any) -> Rows:
        logits = ops.cast(outputs, "float32")
        targets = losses.soft_targets(labels, logits.shape[-1], recipe.label_smoothing)
        desired = losses.apply_threshold(targets, recipe.target_threshold)
        return {"loss": loss(desired, logits)}

    return losses_of


def measure(outputs: Any, labels: Any) -> Rows:
    """Returns the rows for `evaluate`, from logits `(batch, labels)`."""
    logits = ops.cast(outputs, "float32")
    return {
        "labels": labels,
        "probabilities": ops.sigmoid(logits),
        "losses": losses.sigmoid_loss(labels, logits),
    }


def measure_inference(outputs: Any, labels: Any) -> Rows:
    """Returns the rows for `evaluate`, from probabilities `(batch, labels)`."""
    # Of the same rounding: -log(1 - p) is not exact for a p near 1.
    probabilities = ops.cast(outputs, "float32")
    clipped = ops.clip(probabilities, 1e-7, 1.0 - 1e-7)
    logits = ops.log(clipped) - ops.log1p(-clipped)
    return {
        "labels": labels,
        "probabilities": probabilities,
        "losses": losses.sigmoid_loss(labels, logits),
    }


def evaluate(rows: Iterable[Rows], source: Source) -> Evaluation:
    """Returns mAP, F1 and loss; answers and fitted thresholds are its details."""
    del source
    predictions = label_metrics.gathered(rows)
    thresholds = label_metrics.fit_thresholds(
        predictions.truth, predictions.probabilities
    )
    figures = predictions.figures(thresholds)
    return Evaluation(
        figures={name: figures[name] for name in ("loss", "map", "f1_macro")},
        metrics=figures,
        details=FittedLabels(predictions, thresholds),
    )


MULTI_LABEL = replace(
    classification.CLASSIFICATION,
    name="multi_label",
    metric=METRICS["labels"][0],
    build_inference_model=build_inference_model,
    make_losses=make_losses,
    measure=measure,
    measure_inference=measure_inference,
    evaluate=evaluate,
    write_report=labels_html.write,
)
