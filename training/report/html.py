"""The page that ties a run together, with everything it shows inside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_convnext import _files, _page

from ..data.class_balance import counts as class_counts
from ..data.class_balance import notices
from ..data.source import Source
from ..evaluation import label_errors, ordered_metrics
from ..evaluation.metrics import TOP, Predictions
from .outcome import Outcome
from .progress import clock
from .sections import ending, summary

# In the order of the page: the title and a word on how to read it.
_IMAGES = {
    "curves.png": ("Training curves", ""),
    "confusion.png": (
        "Confusion matrix",
        "Rows are true labels, columns are predicted labels.",
    ),
    "mistakes.png": (
        "Most confident errors",
        "Validation images with a wrong prediction, the highest confidence first: hard "
        "or unusual images, and sometimes images with a wrong label.",
    ),
    "label_errors.png": (
        "Suspected label errors",
        "Validation images that probably belong to another class than their label "
        '("true") says, the least probable labels first: confident learning, by the '
        "model that was not trained on them. Look at them: some are only hard.",
    ),
    "predictions.png": (
        "Predictions",
        "Validation images at equal distances in their order.",
    ),
    "explained.png": (
        "Saliency",
        "Grad-CAM: warm regions support the prediction. Gradient: dark pixels "
        "influence it most. Wrong predictions come first.",
    ),
    "calibration.png": (
        "Calibration",
        "A bar that reaches the dashed line: of the predictions with 80 % confidence, "
        "80 % are correct.",
    ),
    "embedding.png": (
        "Feature embedding (PCA)",
        "The features before the classifier on their two principal components. The "
        "color of a frame is the class.",
    ),
    "unlike.png": (
        "Least like the training images",
        "Validation images whose features have the lowest cosine to those of their "
        "10th nearest training image. 95 % are above the cosine that is given: "
        "calibrate --unknown_by=neighbors calls what is below it unknown.",
    ),
}
_CLASSES_AFTER = "mistakes.png"
_MOST_CLASSES = 50
_MOST_SUSPECTED = 50
# The columns of the history, by the figure: its head and its format.
_HISTORY = {
    "loss": ("loss", ".4f"),
    "distillation_loss": ("distillation loss", ".4f"),
    "accuracy": ("accuracy", ".2%"),
    "val_loss": ("val loss", ".4f"),
    "val_accuracy": ("val accuracy", ".2%"),
    "val_mae": ("val MAE", ".4f"),
    "val_kappa": ("val kappa", ".4f"),
    "learning_rate": ("learning rate", ".2e"),
    "images_per_second": ("img/s", ",.0f"),
}


def page(outcome: Outcome, images: Mapping[str, bytes], names: Sequence[str]) -> str:
    """Returns the report as one HTML file that needs nothing beside it.

    Args:
        outcome: Of classification: its details are predictions.
        images: PNGs by file name.
        names: File names of the validation images, in their order.
    """
    source, metrics = outcome.source, outcome.metrics
    predictions: Predictions = outcome.details
    title = f"{outcome.recipe.variant} on {source.name}"
    sections = [_distances(predictions)] if "kappa" in metrics else []
    for name, (heading, words) in _IMAGES.items():
        if name in images:
            body = _page.image(heading, images[name])
            if name == "mistakes.png":
                body += _mistakes(predictions, source.classes, names)
            if name == "label_errors.png":
                body += _suspected(predictions, source.classes, names)
            sections.append(_page.section(heading, body, words))
        if name == _CLASSES_AFTER:
            balance = outcome.recipe.class_balance
            sections.append(_class_section(predictions, source, balance))
    sections += ending(outcome, _HISTORY)
    return _page.page(title, summary(metrics), _figures(metrics) + "".join(sections))


def write(outcome: Outcome, images: Mapping[str, bytes], names: Sequence[str]) -> None:
    """Writes the report into the workdir; it takes what `page` does."""
    _files.write_text(outcome.workdir.report, page(outcome, images, names))


def _figures(metrics: Mapping[str, Any]) -> str:
    top5 = ((f"{metrics['top5']:.2%}", "Top-5 accuracy"),)
    taught: tuple[tuple[str, str], ...] = ()
    if "teacher_top1" in metrics:
        taught = ((f"{metrics['teacher_top1']:.2%}", "Teacher's top-1 accuracy"),)
    ordered: tuple[tuple[str, str], ...] = ()
    if "kappa" in metrics:
        ordered = (
            (f"{metrics['mae']:.3f}", "Mean error in classes"),
            (f"{metrics['kappa']:.4f}", "Quadratic weighted kappa"),
        )
    shown = (
        *ordered,
        (f"{metrics['top1']:.2%}", "Top-1 accuracy"),
        *taught,
        *(top5 if metrics["classes"] > TOP else ()),
        (f"{metrics['mean_class_accuracy']:.2%}", "Mean per-class accuracy"),
        (f"{metrics['loss']:.4f}", "Cross-entropy"),
        (f"{metrics['calibration_error']:.2%}", "Calibration error"),
        (f"{metrics['parameters'] / 1e6:.2f} M", "Parameters"),
        (clock(metrics["train_seconds"]), "Training time"),
    )
    return _page.figures(shown)


def _distances(predictions: Predictions) -> str:
    """Returns a section on how many classes the answers are off."""
    counts = ordered_metrics.distances(predictions)
    shares = counts / counts.sum()
    lines = [
        (str(off), f"{count:,}", f"{share:.1%}", f"{within:.1%}")
        for off, (count, share, within) in enumerate(
            zip(counts, shares, np.cumsum(shares), strict=True)
        )
        if count
    ]
    head = ("classes off", "validation images", "share", "that far or less")
    return _page.section("Errors in classes", _page.table(head, lines, numbers=4))


def _class_section(predictions: Predictions, source: Source, balance: str) -> str:
    words = " ".join(
        f"{line[0].upper()}{line[1:]}." for line in notices(source, balance)
    )
    if len(source.classes) > _MOST_CLASSES:
        words += (
            f" The {_MOST_CLASSES} of {len(source.classes):,} classes with the "
            "lowest recall."
        )
    return _page.section("Per-class results", _classes(predictions, source), words)


def _classes(predictions: Predictions, source: Source) -> str:
    counts = predictions.by_class()
    recall = counts.correct / np.maximum(counts.images, 1)
    trained = class_counts(source.training, len(source.classes))
    lines = []
    for number in np.argsort(recall, kind="stable")[:_MOST_CLASSES]:
        row = predictions.confusion_row(number)
        total, right = int(counts.images[number]), int(counts.correct[number])
        row[number] = 0
        taken_for = source.classes[row.argmax()] if row.any() else ""
        share = f"{right / total:.1%}" if total else "-"
        learned = "" if trained is None else f"{trained[number]:,}"
        lines.append(
            (
                source.classes[number],
                taken_for,
                learned,
                f"{total:,}",
                f"{right:,}",
                share,
            )
        )
    head = (
        "class",
        "most often confused with",
        "training images",
        "validation images",
        "correct",
        "recall",
    )
    return _page.table(head, lines, numbers=4)


def _suspected(
    predictions: Predictions, classes: Sequence[str], names: Sequence[str]
) -> str:
    assert predictions.suspected is not None
    shown = predictions.suspected[:_MOST_SUSPECTED]
    lines = label_errors.rows(shown, predictions, classes, names)
    left = len(predictions.suspected) - len(shown)
    more = f"<p>{left:,} more: label_errors.csv.</p>" if left else ""
    return _page.table(label_errors.HEAD, lines, numbers=1) + more


def _mistakes(
    predictions: Predictions, classes: Sequence[str], names: Sequence[str]
) -> str:
    lines = [
        (
            names[number],
            classes[predictions.labels[number]],
            classes[predictions.top[number, 0]],
            f"{predictions.confidence[number]:.1%}",
        )
        for number in predictions.worst_mistakes()
    ]
    return _page.table(("image", "true", "predicted", "probability"), lines, numbers=1)
