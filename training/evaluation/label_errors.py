"""Images whose labels are probably wrong, by confident learning."""

from __future__ import annotations

import numpy as np

# Probabilities are rounded: one that equals a mean is not below it.
_ROUNDING = 1e-6


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
