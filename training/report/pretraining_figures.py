"""What is drawn of a finished pre-training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from matplotlib.figure import Figure

from keras_convnext.pretraining import FCMAE

from ..data import unlabeled_views
from ..data.unlabeled_source import UnlabeledSource
from . import plots
from . import results as files
from .outcome import Outcome

_SHOWN_IMAGES = 8
_WORST_IMAGES = 4
_ACROSS = 2
_LONGEST_NAME = 18
_COLUMNS = ("image", "visible", "prediction")
# The columns of the history, by the figure: its head and its format.
HISTORY = {
    "loss": ("loss", ".4f"),
    "val_loss": ("val loss", ".4f"),
    "knn_accuracy": ("k-NN accuracy", ".2%"),
    "learning_rate": ("learning rate", ".2e"),
    "images_per_second": ("img/s", ",.1f"),
}


def draw(outcome: Outcome, names: Sequence[str]) -> dict[str, bytes]:
    """Draws what a model makes of validation images, and leaves some as samples.

    Args:
        outcome: Of pre-training.
        names: File names of the validation images, in their order.

    Returns:
        PNGs by file name.
    """
    source = cast("UnlabeledSource", outcome.source)
    model = cast("FCMAE", outcome.model)
    losses: np.ndarray = outcome.details
    total = source.validation_examples
    some = np.unique(np.linspace(0, total - 1, min(_SHOWN_IMAGES, total)).astype(int))
    worst = np.argsort(-losses, kind="stable")[:_WORST_IMAGES]
    drawn = {"curves.png": curves(outcome.history)}
    for name, numbers in (("reconstructions.png", some), ("mistakes.png", worst)):
        images, _ = source.validation_images(numbers)
        orders = [unlabeled_views.validation_order(n, source.patches) for n in numbers]
        seen, filled = model.reconstruct(images.astype("float32"), np.stack(orders))
        files_shown = [Path(names[number]).name for number in numbers]
        titles = [
            f"{plots.end_of(file, _LONGEST_NAME)}, loss {losses[number]:.2f}"
            for file, number in zip(files_shown, numbers, strict=True)
        ]
        rows = list(zip(images, seen, filled, strict=True))
        drawn[name] = sheet(rows, titles)
        if name == "reconstructions.png":
            samples = {f"{place:02}.png": image for place, image in enumerate(images)}
            files.write_samples(outcome.workdir, samples)
    return drawn


def sheet(
    rows: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], titles: Sequence[str]
) -> bytes:
    """Draws images, each with what is visible of it and what is predicted.

    Args:
        rows: For each image three of uint8 `(height, width, 3)`.
        titles: What stands above each.

    Returns:
        A PNG.
    """
    across = min(_ACROSS, len(rows))
    lines = -(-len(rows) // across)
    figure = Figure(figsize=(5.4 * across, 2.1 * lines), layout="constrained")
    grid = figure.subplots(lines, 3 * across, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, (row, title) in enumerate(zip(rows, titles, strict=True)):
        line, column = divmod(number, across)
        for part, words in enumerate((title, *_COLUMNS[1:])):
            axes = grid[line, 3 * column + part]
            axes.imshow(row[part], interpolation="nearest")
            axes.set_title(words, fontsize=8, color=plots.INK)
    return plots.png(figure)


def curves(rows: Sequence[dict[str, float]]) -> bytes:
    """Draws loss, learning rate and measured accuracies over the epochs."""
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    probed = [row for row in rows if "knn_accuracy" in row]
    loss, rate, *others = figure.subplots(
        1, 3 if probed else 2, width_ratios=(5, 3, 3) if probed else (7, 4)
    )
    epochs = [row["epoch"] for row in rows]
    marker = "o" if len(rows) < 3 else None
    for name, color, label in (
        ("loss", plots.TRAIN, "training"),
        ("val_loss", plots.VALIDATION, "validation"),
    ):
        values = [row[name] for row in rows]
        loss.plot(epochs, values, color=color, lw=2, marker=marker, label=label)
    loss.legend(frameon=False)
    rate.plot(epochs, [row["learning_rate"] for row in rows], color=plots.INK, lw=1.5)
    rate.set_ylim(bottom=0)
    for axes in others:
        accuracies = [100 * row["knn_accuracy"] for row in probed]
        numbers = [row["epoch"] for row in probed]
        axes.plot(numbers, accuracies, color=plots.VALIDATION, lw=2, marker="o", ms=4)
        plots.dress(axes, "k-NN accuracy, %")
    for axes, words in ((loss, "Loss"), (rate, "Learning rate, end of epoch")):
        plots.dress(axes, words)
    return plots.png(figure)
