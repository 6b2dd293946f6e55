"""How far off the answers are where classes have an order."""

from __future__ import annotations

import numpy as np

from .metrics import Predictions


def mean_absolute_error(labels: np.ndarray, answers: np.ndarray) -> float:
    """Returns by how many classes answers are off, on average.

    Args:
        labels: True class numbers `(count,)`, in the order of the classes.
        answers: Predicted ones.
    """
    return float(np.mean(np.abs(answers.astype(np.int64) - labels)))


def quadratic_kappa(labels: np.ndarray, answers: np.ndarray, classes: int) -> float:
    """Returns Cohen's kappa with quadratic weights: 1 is perfect, 0 is chance.

    An answer counts against the model by the square of the classes that it is off, as
    a share of what answers of the same frequencies would get without regard to the
    images. Where all labels and all answers are one class, nothing could go wrong, and
    it is 0. Source: Cohen, "Weighted kappa" (1968).

    Args:
        labels: True class numbers `(count,)`, in the order of the classes.
        answers: Predicted ones.
        classes: How many classes there are.

    Example:
        >>> import numpy as np
        >>> from training.evaluation.ordered_metrics import quadratic_kappa
        >>> quadratic_kappa(np.array([0, 1, 2]), np.array([0, 1, 2]), 3)
        1.0
    """
    true = np.bincount(labels, minlength=classes).astype(float)
    said = np.bincount(answers, minlength=classes).astype(float)
    numbers = np.arange(classes)
    weights = (numbers[:, None] - numbers) ** 2
    by_chance = float(np.sum(weights * np.outer(true, said)))
    if by_chance == 0:
        return 0.0
    off = np.sum((labels.astype(np.int64) - answers) ** 2, dtype=float)
    return float(1 - off * len(labels) / by_chance)


def figures_of(predictions: Predictions) -> dict[str, float]:
    """Returns "mae" and "kappa" of a classifier's most probable classes."""
    labels, answers = predictions.labels, predictions.top[:, 0]
    return {
        "mae": mean_absolute_error(labels, answers),
        "kappa": quadratic_kappa(labels, answers, predictions.classes),
    }


def distances(predictions: Predictions) -> np.ndarray:
    """Returns how many answers are off by 0, 1, 2 ... classes, `(classes,)`."""
    off = np.abs(predictions.top[:, 0].astype(np.int64) - predictions.labels)
    return np.bincount(off, minlength=predictions.classes)
