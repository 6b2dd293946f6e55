"""What a run with a number an image leaves: validation.csv, drawings and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_convnext import _files, _page

from ..evaluation.number_metrics import NumberPredictions
from . import results as files
from .outcome import Outcome
from .progress import clock
from .sections import ending, summary

# In the order of the page: the title and a word on how to read it.
_IMAGES = {
    "curves.png": ("Training curves", ""),
    "scatter.png": (
        "Predicted over true number",
        "A point for each validation image; on the line it is right. Beside it how "
        "often errors of each size are.",
    ),
    "mistakes.png": (
        "Largest errors",
        "Hard or unusual images, and sometimes images with a wrong number.",
    ),
    "predictions.png": (
        "Predictions",
        "Validation images at equal distances in the order of their numbers.",
    ),
}
# The columns of the history, by the figure: its head and its format.
_HISTORY = {
    "loss": ("loss", ".4f"),
    "val_mae": ("val MAE", ".4g"),
    "val_rmse": ("val RMSE", ".4g"),
    "val_r2": ("val R²", ".4f"),
    "learning_rate": ("learning rate", ".2e"),
    "images_per_second": ("img/s", ",.0f"),
}


def write(outcome: Outcome) -> None:
    """Writes validation.csv, drawings and the page into the workdir."""
    from . import number_figures  # it draws with TensorFlow

    predictions: NumberPredictions = outcome.details
    names = files.image_names(outcome.source)
    rows = zip(
        names,
        map(float, predictions.truth),
        map(float, predictions.numbers),
        map(float, predictions.errors),
        strict=True,
    )
    head = ("image", "true", "predicted", "error")
    files.write_csv(outcome.workdir.validation, head, rows)
    drawn = number_figures.draw(outcome, names)
    files.write_images(outcome.workdir, drawn)
    _files.write_text(outcome.workdir.report, page(outcome, drawn, names))


def page(outcome: Outcome, images: Mapping[str, bytes], names: Sequence[str]) -> str:
    """Returns the report as one HTML file that needs nothing beside it.

    Args:
        outcome: Its details are `NumberPredictions`.
        images: PNGs by file name.
        names: File names of the validation images, in their order.
    """
    source, metrics = outcome.source, outcome.metrics
    sections = []
    for name, (heading, words) in _IMAGES.items():
        body = _page.image(heading, images[name])
        if name == "mistakes.png":
            body += _mistakes(outcome.details, names)
        sections.append(_page.section(heading, body, words))
    sections += ending(outcome, _HISTORY)
    title = f"{outcome.recipe.variant} on {source.name}"
    return _page.page(title, summary(metrics), _figures(metrics) + "".join(sections))


def _figures(metrics: Mapping[str, Any]) -> str:
    return _page.figures(
        (
            (f"{metrics['mae']:.4g}", "Mean absolute error"),
            (f"{metrics['rmse']:.4g}", "Root of the mean squared error"),
            (f"{metrics['r2']:.4f}", "R²"),
            (f"{metrics['parameters'] / 1e6:.2f} M", "Parameters"),
            (clock(metrics["train_seconds"]), "Training time"),
        )
    )


def _mistakes(predictions: NumberPredictions, names: Sequence[str]) -> str:
    lines = [
        (
            names[number],
            f"{predictions.truth[number]:.6g}",
            f"{predictions.numbers[number]:.6g}",
            f"{predictions.errors[number]:+.4g}",
        )
        for number in predictions.worst()
    ]
    return _page.table(("image", "true", "predicted", "error"), lines, numbers=3)
