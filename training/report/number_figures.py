"""What is drawn of a finished run with a number an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ..evaluation.number_metrics import NumberPredictions
from . import plots
from . import results as files
from .outcome import Outcome

_SHEET_IMAGES = 32
_WORST_IMAGES = 24
_SAMPLE_IMAGES = 8
_BINS = 30


def draw(outcome: Outcome, names: Sequence[str]) -> dict[str, bytes]:
    """Draws what a model says of validation images, and leaves some as samples.

    Args:
        outcome: Its details are `NumberPredictions`.
        names: File names of the validation images, in their order.

    Returns:
        PNGs by file name.
    """
    predictions: NumberPredictions = outcome.details
    source = outcome.source
    drawn = {
        "curves.png": _curves(outcome.history),
        "scatter.png": _scatter(predictions),
    }
    order = np.argsort(predictions.truth, kind="stable")
    count = min(_SHEET_IMAGES, len(order))
    some = order[np.linspace(0, len(order) - 1, count).astype(int)]
    worst = predictions.worst(_WORST_IMAGES)
    for name, numbers in (("predictions.png", some), ("mistakes.png", worst)):
        images, _ = source.validation_images(numbers)
        drawn[name] = _sheet(images, numbers, predictions, names)
        if name == "predictions.png":
            few = np.linspace(0, len(images) - 1, min(_SAMPLE_IMAGES, len(images)))
            samples = {
                f"{place:02}.png": images[int(number)]
                for place, number in enumerate(few)
            }
            files.write_samples(outcome.workdir, samples)
    return drawn


def _curves(rows: Sequence[dict[str, float]]) -> bytes:
    figure = Figure(figsize=(11, 3.7), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    marker = "o" if len(rows) < 3 else None
    shown = (
        ("loss", "Loss, training", plots.TRAIN),
        ("val_mae", "Mean absolute error, validation", plots.VALIDATION),
        ("learning_rate", "Learning rate, end of epoch", plots.INK),
    )
    for axes, (name, title, color) in zip(figure.subplots(1, 3), shown, strict=True):
        values = [row[name] for row in rows]
        axes.plot(epochs, values, color=color, lw=2, marker=marker)
        plots.dress(axes, title)
        axes.set_ylim(bottom=0)
    return plots.png(figure)


def _scatter(predictions: NumberPredictions) -> bytes:
    figure = Figure(figsize=(9.5, 4.8), layout="constrained")
    points, errors = figure.subplots(1, 2, width_ratios=(3, 2))
    both = np.concatenate([predictions.truth, predictions.numbers])
    ends = [float(both.min()), float(both.max())]
    points.plot(ends, ends, color=plots.INK, lw=1, ls="--")
    # Fainter where there are many, so that their density shows.
    alpha = float(np.clip(300 / len(predictions.truth), 0.08, 0.6))
    points.scatter(
        predictions.truth,
        predictions.numbers,
        s=14,
        color=plots.VALIDATION,
        alpha=alpha,
        linewidths=0,
    )
    points.set_aspect("equal", adjustable="datalim")
    plots.dress(points, "Predicted", "true")
    errors.hist(predictions.errors, bins=_BINS, color=plots.VALIDATION)
    errors.axvline(0, color=plots.INK, lw=1, ls="--")
    plots.dress(errors, "Images", "predicted - true")
    return plots.png(figure)


def _sheet(
    images: np.ndarray,
    numbers: np.ndarray,
    predictions: NumberPredictions,
    names: Sequence[str],
) -> bytes:
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    height = 2.15 * rows + 0.1
    figure = Figure(figsize=(1.6 * columns, height))
    figure.subplots_adjust(0.01, 0.5 / height, 0.99, 1 - 0.05 / height, 0.06, 0.42)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for image, number, axes in zip(images, numbers, grid.flat, strict=False):
        axes.imshow(image, interpolation="nearest")
        lines = (
            (f"{predictions.numbers[number]:.4g}", plots.INK, "bold"),
            (f"true: {predictions.truth[number]:.4g}", plots.INK, "normal"),
            (plots.end_of(names[number], 20), plots.TRAIN, "normal"),
        )
        for place, (text, color, weight) in enumerate(lines):
            axes.text(
                *(0.5, -0.04 - 0.11 * place),
                text,
                transform=axes.transAxes,
                ha="center",
                va="top",
                fontsize=7,
                color=color,
                weight=weight,
            )
    return plots.png(figure)
