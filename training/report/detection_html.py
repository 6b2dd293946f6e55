"""What a detection run leaves beside its model: the page, and its tables as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_convnext import _files, _page

from ..evaluation.coco_metrics import FIGURES, LEAST_SCORE, DetectionResults, percent
from . import results as files
from .outcome import Outcome
from .progress import clock
from .sections import ending, summary

# In the order of the page: the title and a word on how to read it.
_IMAGES = {
    "curves.png": ("Training curves", ""),
    "predictions.png": (
        "Predictions",
        "Validation images at equal distances in their order: their objects, and "
        f"beside them what was found with a score of at least {LEAST_SCORE}. AP50 is "
        "the image's own.",
    ),
    "mistakes.png": (
        "Lowest AP",
        "The validation images with the lowest AP: hard or unusual images, and "
        "sometimes images whose objects are labeled wrong.",
    ),
    "best.png": ("Highest AP", ""),
    "precision.png": (
        "Precision by recall",
        "How many of the detections are right where so many of the objects are found, "
        "the mean over the classes.",
    ),
    "errors.png": (
        "Errors",
        "By how much AP at an IoU of 0.5 would rise without them, each kind alone. "
        "Missed: an object that nothing was found at. Background: a detection where "
        "there is no object. Confusion: of another class. Localization: an IoU below "
        "0.5. Duplicate: of an object that was found already.",
    ),
    "classes.png": ("AP by class", ""),
}
_MOST_CLASSES = 150
_WORDS = {
    "ap": "AP, IoU 0.5 to 0.95",
    "ap50": "AP50, IoU 0.5",
    "ap75": "AP75, IoU 0.75",
    "ap_small": "AP of objects below 32 x 32 pixels",
    "ap_medium": "AP of objects between",
    "ap_large": "AP of objects above 96 x 96 pixels",
    "ar1": "recall with 1 detection an image",
    "ar10": "recall with 10 detections an image",
    "ar100": "recall with 100 detections an image",
    "ar_small": "recall of objects below 32 x 32 pixels",
    "ar_medium": "recall of objects between",
    "ar_large": "recall of objects above 96 x 96 pixels",
}
# The columns of the history, by the figure: its head and its format.
_HISTORY = {
    "loss": ("loss", ".4f"),
    "val_ap": ("val box AP", ".2%"),
    "val_ap50": ("val box AP50", ".2%"),
    "val_mask_ap": ("val mask AP", ".2%"),
    "learning_rate": ("learning rate", ".2e"),
    "images_per_second": ("img/s", ",.2f"),
}


def write(outcome: Outcome) -> None:
    """Writes classes.csv, validation.csv, drawings and the page into the workdir."""
    from . import detection_figures  # it draws with TensorFlow

    workdir, results = outcome.workdir, outcome.details
    names = files.image_names(outcome.source)
    files.write_csv(workdir.classes, *class_rows(results, outcome.source.classes))
    found = np.bincount(
        [each["image_id"] for each in results.detections], minlength=len(names)
    )
    images = zip(names, found, results.best.image_ap, strict=True)
    files.write_csv(workdir.validation, ("image", "detections", "ap50"), images)
    drawn = detection_figures.draw(outcome, names)
    files.write_images(workdir, drawn)
    _files.write_text(workdir.report, page(outcome, drawn))


def page(outcome: Outcome, images: Mapping[str, bytes]) -> str:
    """Returns the report as one HTML file that needs nothing beside it.

    Args:
        outcome: Of detection: its details are `DetectionResults`.
        images: PNGs by file name.
    """
    source, metrics = outcome.source, outcome.metrics
    results: DetectionResults = outcome.details
    sections = [
        _page.section(heading, _page.image(heading, images[name]), words)
        for name, (heading, words) in _IMAGES.items()
        if name in images
    ]
    sections += [
        _twelve(results),
        _classes(results, source.classes),
        *ending(outcome, _HISTORY),
    ]
    title = f"{outcome.model.name}, {source.name}"
    return _page.page(title, summary(metrics), _figures(metrics) + "".join(sections))


def class_rows(
    results: DetectionResults, classes: Sequence[str]
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Returns the head and the rows of classes.csv; NaN where there are no objects."""
    columns = results.by_class()
    rows = list(zip(classes, results.objects.tolist(), *columns.values(), strict=True))
    return ("class", "objects", *columns), rows


def _figures(metrics: Mapping[str, Any]) -> str:
    named = {
        "mask_ap": "Mask AP",
        "mask_ap50": "Mask AP50",
        "ap": "Box AP",
        "ap50": "Box AP50",
    }
    return _page.figures(
        [
            *(
                (percent(metrics[name]), words)
                for name, words in named.items()
                if name in metrics
            ),
            (f"{metrics['parameters'] / 1e6:.2f} M", "Parameters"),
            (clock(metrics["train_seconds"]), "Training time"),
        ]
    )


def _twelve(results: DetectionResults) -> str:
    figures = results.figures
    kinds = {"": "boxes", **({"mask_": "masks"} if results.masks else {})}
    rows = [
        (_WORDS[name], *(percent(figures[prefix + name]) for prefix in kinds))
        for name in FIGURES
    ]
    head = ("", *kinds.values())
    words = "COCO's twelve figures, as pycocotools computes them."
    table = _page.table(head, rows, numbers=len(kinds))
    return _page.section("Figures", table, words)


def _classes(results: DetectionResults, classes: Sequence[str]) -> str:
    head, rows = class_rows(results, classes)
    # The lowest AP first; classes that are nowhere come last.
    rows.sort(key=lambda row: (np.isnan(row[-2]), row[-2]))
    lines = [
        (name, f"{objects:,}", *map(percent, values))
        for name, objects, *values in rows[:_MOST_CLASSES]
    ]
    return _page.section(
        "Per-class results", _page.table(head, lines, numbers=len(head) - 1)
    )
