"""What is drawn of a finished run with several labels an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ..evaluation.label_metrics import FittedLabels
from . import plots
from . import results as files
from .outcome import Outcome

_SHEET_IMAGES = 30
_WORST_IMAGES = 24
_SAMPLE_IMAGES = 8
_COLORED = 6
_LONGEST_LINE = 36
_SHARES = (
    ("val_f1_macro", plots.INK, "F1 at 0.5, validation"),
    ("val_map", plots.VALIDATION, "mAP, validation"),
)


def draw(outcome: Outcome, names: Sequence[str]) -> dict[str, bytes]:
    """Draws what a model says of validation images, and leaves some as samples.

    Args:
        outcome: Its details are `FittedLabels`.
        names: File names of the validation images, in their order.

    Returns:
        PNGs by file name.
    """
    fitted: FittedLabels = outcome.details
    source = outcome.source
    total = source.validation_examples
    some = np.unique(np.linspace(0, total - 1, min(_SHEET_IMAGES, total)).astype(int))
    drawn = {
        "curves.png": plots.curves(outcome.history, "Validation", _SHARES),
        "precision_recall.png": _precision_recall(fitted, source.classes),
    }
    worst = fitted.predictions.worst(_WORST_IMAGES)
    for name, numbers in (("predictions.png", some), ("mistakes.png", worst)):
        images, _ = source.validation_images(numbers)
        drawn[name] = _sheet(images, numbers, fitted, source.classes, names)
        if name == "predictions.png":
            few = np.linspace(0, len(images) - 1, min(_SAMPLE_IMAGES, len(images)))
            samples = {
                f"{place:02}.png": images[int(number)]
                for place, number in enumerate(few)
            }
            files.write_samples(outcome.workdir, samples)
    return drawn


def _precision_recall(fitted: FittedLabels, classes: Sequence[str]) -> bytes:
    predictions = fitted.predictions
    precisions = predictions.average_precisions
    known = np.flatnonzero(~np.isnan(precisions))
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.subplots()
    order = known[np.argsort(precisions[known], kind="stable")]
    for place, number in reversed(list(enumerate(order))):
        truth = predictions.truth[:, number]
        scores = predictions.probabilities[:, number]
        ranked = truth[np.argsort(-scores, kind="stable")]
        hits = np.cumsum(ranked)
        color = f"C{place}" if place < _COLORED else plots.FAINT
        name = f"{plots.shorten(classes[number])}  {precisions[number]:.0%}"
        axes.plot(
            hits / hits[-1],
            hits / np.arange(1, len(hits) + 1),
            color=color,
            lw=1.8,
            label=name if place < _COLORED else None,
        )
        decided = scores > fitted.thresholds[number]
        if place < _COLORED and decided.any():
            right = np.sum(truth & decided)
            axes.plot(right / hits[-1], right / decided.sum(), "o", color=color)
    plots.dress(axes, "Precision", "recall")
    axes.set_ylim(0, 1.03)
    # The worst label stands first in the legend, and was drawn last.
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=9, loc="best")
    return plots.png(figure)


def _sheet(
    images: np.ndarray,
    numbers: np.ndarray,
    fitted: FittedLabels,
    classes: Sequence[str],
    names: Sequence[str],
) -> bytes:
    """Draws images with the labels found, those that are wrong, and those missed."""
    decided = fitted.predictions.decide(fitted.thresholds)[numbers]
    truth = fitted.predictions.truth[numbers]
    columns = min(6, len(images))
    rows = -(-len(images) // columns)
    height = 2.55 * rows + 0.45
    figure = Figure(figsize=(2.1 * columns, height))
    figure.subplots_adjust(0.01, 0.5 / height, 0.99, 1 - 0.4 / height, 0.06, 0.55)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for image, found, wanted, number, axes in zip(
        images, decided, truth, numbers, grid.flat, strict=False
    ):
        axes.imshow(image, interpolation="nearest")
        lines = [
            (_line("", found & wanted, classes), plots.INK),
            (_line("not: ", found & ~wanted, classes), plots.WRONG),
            (_line("missed: ", wanted & ~found, classes), plots.WRONG),
        ]
        shown = [line for line in lines if line[0]] or [("no label", plots.INK)]
        shown.append((plots.end_of(names[number], 20), plots.TRAIN))
        for place, (text, color) in enumerate(shown):
            axes.text(
                *(0.5, -0.04 - 0.11 * place),
                text,
                transform=axes.transAxes,
                ha="center",
                va="top",
                fontsize=7,
                color=color,
            )
    alike = int((decided == truth).all(axis=1).sum())
    figure.suptitle(
        f"{len(images)} validation images, {alike} with exactly their labels",
        x=0.01,
        y=1 - 0.08 / height,
        ha="left",
        fontsize=11,
        color=plots.INK,
        weight="bold",
    )
    return plots.png(figure)


def _line(word: str, applies: np.ndarray, classes: Sequence[str]) -> str:
    found = [classes[int(number)] for number in np.flatnonzero(applies)]
    if not found:
        return ""
    return plots.shorten(word + ", ".join(found), _LONGEST_LINE)
