"""What a run with several labels an image leaves: thresholds, tables and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_convnext import _files, _page

from ..data.class_balance import counts as class_counts
from ..evaluation.label_metrics import FittedLabels, f1_scores
from . import results as files
from .outcome import Outcome
from .progress import clock
from .sections import ending, summary

# In the order of the page: the title and a word on how to read it.
_IMAGES = {
    "curves.png": ("Training curves", ""),
    "precision_recall.png": (
        "Precision and recall",
        "A curve for each label, those with the lowest average precision in color: "
        "which share of the predicted images have the label, over the share found of "
        "those that have it. The point is the fitted threshold.",
    ),
    "predictions.png": (
        "Predictions",
        "Validation images at equal distances in their order. Labels above their "
        "fitted threshold; wrong and missed ones are marked.",
    ),
    "mistakes.png": (
        "Highest loss",
        "The validation images with the highest loss: hard or unusual images, and "
        "sometimes images with wrong labels.",
    ),
}
LABEL_COLUMNS = (
    "label",
    "training images",
    "validation images",
    "AP",
    "F1",
    "threshold",
    "F1 at it",
)
# The columns of the history, by the figure: its head and its format.
_HISTORY = {
    "loss": ("loss", ".4f"),
    "val_loss": ("val loss", ".4f"),
    "val_map": ("val mAP", ".2%"),
    "val_f1_macro": ("val F1", ".2%"),
    "learning_rate": ("learning rate", ".2e"),
    "images_per_second": ("img/s", ",.0f"),
}


def write(outcome: Outcome) -> None:
    """Writes thresholds.json, classes.csv, validation.csv, drawings and the page."""
    from . import labels_figures  # it draws with TensorFlow

    fitted: FittedLabels = outcome.details
    workdir, classes = outcome.workdir, outcome.source.classes
    names = files.image_names(outcome.source)
    limits = dict(zip(classes, fitted.thresholds.tolist(), strict=True))
    _files.write_json(workdir.thresholds, limits)
    rows = label_rows(outcome)
    files.write_csv(workdir.classes, LABEL_COLUMNS, rows)
    _write_validation(outcome, names)
    drawn = labels_figures.draw(outcome, names)
    files.write_images(workdir, drawn)
    _files.write_text(workdir.report, page(outcome, drawn, names))


def label_rows(
    outcome: Outcome,
) -> list[tuple[str, int, int, float, float, float, float]]:
    """Returns for each label the cells of `LABEL_COLUMNS`; NaN where there is none."""
    fitted: FittedLabels = outcome.details
    predictions = fitted.predictions
    source = outcome.source
    trained = class_counts(source.training, len(source.classes))
    assert trained is not None  # a list counts its labels
    columns = (
        source.classes,
        trained.tolist(),
        predictions.truth.sum(axis=0).tolist(),
        predictions.average_precisions.tolist(),
        f1_scores(predictions.truth, predictions.decide()).tolist(),
        fitted.thresholds.tolist(),
        f1_scores(predictions.truth, predictions.decide(fitted.thresholds)).tolist(),
    )
    return list(zip(*columns, strict=True))


def page(outcome: Outcome, images: Mapping[str, bytes], names: Sequence[str]) -> str:
    """Returns the report as one HTML file that needs nothing beside it.

    Args:
        outcome: Its details are `FittedLabels`.
        images: PNGs by file name.
        names: File names of the validation images, in their order.
    """
    source, metrics = outcome.source, outcome.metrics
    sections = []
    for name, (heading, words) in _IMAGES.items():
        if name not in images:
            continue
        body = _page.image(heading, images[name])
        if name == "mistakes.png":
            body += _mistakes(outcome, names)
        sections.append(_page.section(heading, body, words))
        if name == "precision_recall.png":
            sections.append(_labels(outcome))
    sections += ending(outcome, _HISTORY)
    title = f"{outcome.recipe.variant} on {source.name}"
    return _page.page(title, summary(metrics), _figures(metrics) + "".join(sections))


def join_labels(applies: np.ndarray, classes: Sequence[str]) -> str:
    """Returns the labels that apply, as a list has them.

    Args:
        applies: bool `(labels,)`.
        classes: Their names.
    """
    return ";".join(classes[int(number)] for number in np.flatnonzero(applies))


def _write_validation(outcome: Outcome, names: Sequence[str]) -> None:
    fitted: FittedLabels = outcome.details
    predictions, classes = fitted.predictions, outcome.source.classes
    decided = predictions.decide(fitted.thresholds)
    rows = (
        (
            name,
            join_labels(truth, classes),
            join_labels(answer, classes),
            float(loss),
            *map(float, probabilities),
        )
        for name, truth, answer, loss, probabilities in zip(
            names,
            predictions.truth,
            decided,
            predictions.losses,
            predictions.probabilities,
            strict=True,
        )
    )
    head = ("image", "true", "predicted", "loss", *classes)
    files.write_csv(outcome.workdir.validation, head, rows)


def _figures(metrics: Mapping[str, Any]) -> str:
    return _page.figures(
        (
            (f"{metrics['map']:.2%}", "mAP, mean of the labels"),
            (f"{metrics['map_micro']:.2%}", "mAP, micro"),
            (f"{metrics['f1_macro']:.2%}", "F1 at 0.5, mean of the labels"),
            (f"{metrics['f1_micro']:.2%}", "F1 at 0.5, micro"),
            (f"{metrics['f1_macro_fitted']:.2%}", "F1 at the fitted thresholds"),
            (f"{metrics['loss']:.4f}", "Binary cross-entropy"),
            (f"{metrics['parameters'] / 1e6:.2f} M", "Parameters"),
            (clock(metrics["train_seconds"]), "Training time"),
        )
    )


def _labels(outcome: Outcome) -> str:
    rows = sorted(label_rows(outcome), key=lambda row: (np.isnan(row[3]), row[3]))
    lines = [
        (name, f"{trained:,}", f"{count:,}", _share(ap), _share(f1), f"{limit:.3f}")
        + (_share(best),)
        for name, trained, count, ap, f1, limit, best in rows
    ]
    words = (
        "The lowest average precision first. Thresholds are fitted to these validation "
        "images, so that F1 at them is optimistic; thresholds.json has them."
    )
    table = _page.table(LABEL_COLUMNS, lines, numbers=6)
    return _page.section("Per-label results", table, words)


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"


def _mistakes(outcome: Outcome, names: Sequence[str]) -> str:
    fitted: FittedLabels = outcome.details
    predictions, classes = fitted.predictions, outcome.source.classes
    decided = predictions.decide(fitted.thresholds)
    lines = [
        (
            names[number],
            join_labels(predictions.truth[number], classes),
            join_labels(decided[number], classes),
            f"{predictions.losses[number]:.3f}",
        )
        for number in predictions.worst()
    ]
    return _page.table(("image", "true", "predicted", "loss"), lines, numbers=1)
