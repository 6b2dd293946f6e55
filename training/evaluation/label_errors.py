"""Images whose labels are probably wrong, by confident learning."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_convnext import _files

from .metrics import Predictions

HEAD = ("image", "label", "predicted", "probability of its label")
# All probabilities are kept for this: 256 MB as float32. ImageNet-1k's validation
# images have 50 million.
MOST_PROBABILITIES = 64_000_000
# Their pairs are counted in a few matrices, here of 8 MB.
MOST_CLASSES = 1_000
# Probabilities are rounded: one that equals a mean is not below it.
_ROUNDING = 1e-6


def fits(images: int, classes: int) -> bool:
    """Returns whether `find` is for so many: it needs all probabilities in memory."""
    return classes <= MOST_CLASSES and images * classes <= MOST_PROBABILITIES


def too_many(images: int, classes: int) -> str:
    """Returns why labels are not looked at, where they do not fit."""
    return (
        f"labels are not searched for errors: {images:,} images x {classes:,} classes "
        f"are more than {MOST_PROBABILITIES:,}, or than {MOST_CLASSES:,} classes"
    )


def find(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns the images that probably belong to another class.

    How many images of a label belong to another class is estimated from those that the
    model is confident of; as many are suspected, those with the largest difference
    between the two classes' probabilities.

    Args:
        labels: Given class numbers `(images,)`.
        probabilities: Of a model that was not trained on the images,
            `(images, classes)`.

    Returns:
        Numbers of images, those with the least probable label first.

    Source: Northcutt et al., "Confident Learning", arXiv:1911.00068, section 3.2,
    method 3 (prune by noise rate); the same images as cleanlab's find_label_issues.

    Example:
        >>> import numpy as np
        >>> from training.evaluation import label_errors
        >>> labels = np.array([0, 0, 0, 1, 1, 1])
        >>> of_second = np.array([0.1, 0.2, 0.9, 0.8, 0.9, 0.3])
        >>> label_errors.find(labels, np.stack([1 - of_second, of_second], axis=1))
        array([2, 5])
    """
    counts = _estimate_counts(labels, probabilities)
    is_wrong = np.zeros(len(labels), bool)
    for given in np.unique(labels):
        rows = np.flatnonzero(labels == given)
        for true in np.flatnonzero(counts[given]):
            if given != true:
                margins = probabilities[rows, true] - probabilities[rows, given]
                order = np.argsort(-margins, kind="stable")
                is_wrong[rows[order[: counts[given, true]]]] = True
    found = np.flatnonzero(is_wrong & (probabilities.argmax(axis=1) != labels))
    own = probabilities[found, labels[found]]
    return found[np.argsort(own, kind="stable")]


def rows(
    suspected: np.ndarray,
    predictions: Predictions,
    classes: Sequence[str],
    names: Sequence[str] = (),
) -> list[tuple[str, str, str, str]]:
    """Returns a row for each suspected image, as `HEAD` names its cells.

    Args:
        suspected: From `find`.
        predictions: Of all images.
        classes: Their names.
        names: Of the images; those without one have their number.
    """
    return [
        (
            (names[number] if names else "") or str(number),
            classes[predictions.labels[number]],
            classes[predictions.top[number, 0]],
            f"{np.exp(-predictions.losses[number]):.4f}",
        )
        for number in suspected.tolist()
    ]


def write(path: Path, suspected: Sequence[Sequence[str]]) -> None:
    """Writes what `rows` gives as a table; without any it has its head alone."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEAD, *suspected])
    _files.write_text(path, text.getvalue())


def _estimate_counts(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns how many images of a label, by row, truly belong to each class.

    A model is confident that an image belongs to a class where its probability is at
    least the mean one of the images with that label, and of several to the most
    probable one. The counts of these images are scaled to all images of the label.
    """
    classes = probabilities.shape[1]
    means = np.full(classes, np.inf)
    for number in np.unique(labels):
        means[number] = probabilities[labels == number, number].mean()
    confident = probabilities >= means - _ROUNDING
    several = confident.sum(axis=1) > 1
    likeliest, first = probabilities.argmax(axis=1), confident.argmax(axis=1)
    true = np.where(several, likeliest, first)
    sure = confident.any(axis=1)
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels[sure], true[sure]), 1)
    np.fill_diagonal(counts, np.maximum(counts.diagonal(), 1))
    totals = np.bincount(labels, minlength=classes)
    # In the order of cleanlab's arithmetic, for halves are rounded next.
    scaled = counts / counts.sum(axis=1)[:, None] * totals[:, None]
    scaled = scaled / scaled.sum() * len(labels)
    return np.stack([_round_to_sum(row) for row in scaled])


def _round_to_sum(row: np.ndarray) -> np.ndarray:
    """Returns whole numbers near some numbers, with the same sum."""
    whole = np.round(row)
    lacking = int(np.round(row.sum() - whole.sum()))
    # Equal remainders are common; which of them is taken is as in cleanlab.
    order = np.argsort(row - whole)
    changed = order[::-1][:lacking] if lacking > 0 else order[:-lacking]
    whole[changed] += np.sign(lacking)
    return whole.astype(int)
