"""Evaluates a model that answers with a number."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_convnext._messages import say

from .number_metrics import NumberPredictions

if TYPE_CHECKING:
    from keras_convnext.inference.regressor import Regressor

    from ..data.source import Source


def evaluate(
    model: Regressor, source: Source, batch: int
) -> tuple[NumberPredictions, float]:
    """Returns what a model says of the validation images, and the seconds it took.

    Args:
        model: With a number an image.
        source: Images with a number each.
        batch: Images at a time.
    """
    started = time.monotonic()
    truth, numbers = [], []
    for images, labels, weights in source.validation_batches(batch):
        real = weights.numpy() > 0
        truth.append(labels.numpy()[real])
        numbers.append(model.numbers(images.numpy()[real].astype(np.float32)))
    both = (np.concatenate(part).astype(np.float64) for part in (truth, numbers))
    return NumberPredictions(*both), time.monotonic() - started


def say_figures(figures: dict[str, Any]) -> None:
    """Prints the figures."""
    shown = (
        ("mean absolute error", "mae"),
        ("root mean square", "rmse"),
        ("R2", "r2"),
    )
    for words, name in shown:
        say(f"  {words:<20} {figures[name]:.6g}")
    say(f"  images per second    {figures['images_per_second']:,.0f}")
