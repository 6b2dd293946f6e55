"""What a segmentation run leaves beside its model: the page, and its tables as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_convnext import _files, _page

from ..evaluation.label_maps import LabelMapResults
from . import results as files
from .outcome import Outcome
from .progress import clock
from .sections import ending, summary

# In the order of the page: the title and a word on how to read it.
_IMAGES = {
    "curves.png": ("Training curves", ""),
    "predictions.png": (
        "Predictions",
        "Validation images at equal distances in their order. IoU is the image's own "
        "mean; the metric above counts the pixels of all images together.",
    ),
    "mistakes.png": (
        "Lowest IoU",
        "The validation images with the lowest mean IoU: hard or unusual images, and "
        "sometimes images with a wrong mask.",
    ),
    "confusion.png": (
        "Confusion matrix",
        "Rows are true labels, columns predicted labels, of all pixels with a label.",
    ),
}
_MOST_CLASSES = 150
_MOST_PAIRS = 12
CLASS_COLUMNS = ("class", "IoU", "accuracy", "pixels", "of all pixels")
# The columns of the history, by the figure: its head and its format.
_HISTORY = {
    "loss": ("loss", ".4f"),
    "auxiliary_loss": ("auxiliary loss", ".4f"),
    "aacc": ("pixel accuracy", ".2%"),
    "val_loss": ("val loss", ".4f"),
    "val_aacc": ("val pixel accuracy", ".2%"),
    "val_miou": ("val mIoU", ".2%"),
    "learning_rate": ("learning rate", ".2e"),
    "images_per_second": ("img/s", ",.1f"),
}


def write(outcome: Outcome) -> None:
    """Writes classes.csv, validation.csv, drawings and the page into the workdir."""
    from . import segmentation_figures  # it draws with TensorFlow

    workdir, results = outcome.workdir, outcome.details
    names = files.image_names(outcome.source)
    rows = class_rows(results, outcome.source.classes)
    files.write_csv(workdir.classes, ("class", "iou", "accuracy", "pixels"), rows)
    shares = zip(names, results.image_iou, strict=True)
    files.write_csv(workdir.validation, ("image", "miou"), shares)
    drawn = segmentation_figures.draw(outcome, names)
    files.write_images(workdir, drawn)
    _files.write_text(workdir.report, page(outcome, drawn))


def page(outcome: Outcome, images: Mapping[str, bytes]) -> str:
    """Returns the report as one HTML file that needs nothing beside it.

    Args:
        outcome: Of segmentation: its details are counted pixels.
        images: PNGs by file name.
    """
    source, metrics = outcome.source, outcome.metrics
    results: LabelMapResults = outcome.details
    sections = [
        _page.section(heading, _page.image(heading, images[name]), words)
        for name, (heading, words) in _IMAGES.items()
        if name in images
    ]
    sections += [
        _confused(results, source.classes),
        _classes(results, source.classes),
        *ending(outcome, _HISTORY),
    ]
    title = f"UPerNet on {outcome.recipe.variant}, {source.name}"
    return _page.page(title, summary(metrics), _figures(metrics) + "".join(sections))


def class_rows(
    results: LabelMapResults, classes: Sequence[str]
) -> list[tuple[str, float, float, int]]:
    """Returns for each class its name, IoU, accuracy (NaN for none) and pixels."""
    scores = results.scores
    pixels = results.counts.sum(axis=1)
    return [
        (name, float(iou), float(accuracy), int(number))
        for name, iou, accuracy, number in zip(
            classes, scores.iou, scores.accuracy, pixels, strict=True
        )
    ]


def _figures(metrics: Mapping[str, Any]) -> str:
    return _page.figures(
        (
            (f"{metrics['miou']:.2%}", "Mean IoU"),
            (f"{metrics['macc']:.2%}", "Mean per-class accuracy"),
            (f"{metrics['aacc']:.2%}", "Pixel accuracy"),
            (f"{metrics['loss']:.4f}", "Cross-entropy"),
            (f"{metrics['parameters'] / 1e6:.2f} M", "Parameters"),
            (clock(metrics["train_seconds"]), "Training time"),
        )
    )


def _confused(results: LabelMapResults, classes: Sequence[str]) -> str:
    rows = [
        (classes[label], classes[other], f"{share:.1%}")
        for label, other, share in results.most_confused(_MOST_PAIRS)
    ]
    head = ("true", "predicted", "of the class's pixels")
    words = "The pairs of classes with the most wrong pixels."
    return _page.section("Most confused", _page.table(head, rows, numbers=1), words)


def _classes(results: LabelMapResults, classes: Sequence[str]) -> str:
    rows = class_rows(results, classes)
    total = max(sum(row[-1] for row in rows), 1)
    # The lowest IoU first; classes that are nowhere come last.
    rows.sort(key=lambda row: (np.isnan(row[1]), row[1]))
    lines = [
        (name, _share(iou), _share(accuracy), f"{pixels:,}", f"{pixels / total:.2%}")
        for name, iou, accuracy, pixels in rows[:_MOST_CLASSES]
    ]
    return _page.section(
        "Per-class results", _page.table(CLASS_COLUMNS, lines, numbers=4)
    )


def _share(value: float) -> str:
    """Returns a share in percent, a dash where there is none."""
    return "-" if np.isnan(value) else f"{value:.2%}"
