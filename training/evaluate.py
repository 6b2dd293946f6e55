"""What a model says of labelled pictures, and the figures made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

TOP = 5
# Stands in for a probability that has been rounded to 0.
LEAST_PROBABILITY = 1e-30


@dataclass(frozen=True)
class Verdicts:
    """A model's answers for a set of pictures, padding left out.

    Attributes:
        labels: True class numbers `(count,)`.
        top: Class numbers of the highest scores, best first, `(count, 5)` or fewer.
        confidence: Probability given to the first of them `(count,)`.
        losses: Minus the logarithm of the label's probability `(count,)`.
        classes: How many classes there are.
    """

    labels: np.ndarray
    top: np.ndarray
    confidence: np.ndarray
    losses: np.ndarray
    classes: int

    @property
    def top1(self) -> float:
        """Share of pictures whose first answer is right."""
        return float(np.mean(self.top[:, 0] == self.labels))

    @property
    def top5(self) -> float:
        """Share of pictures whose label is among the first five answers."""
        return float(np.mean(np.any(self.top == self.labels[:, None], axis=1)))

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats."""
        return float(np.mean(self.losses, dtype=np.float64))

    def calibration_error(self, bins: int = 15) -> float:
        """Returns by how much the model is surer than it is right, on average.

        The expected calibration error: pictures are sorted into bins of equal width
        by confidence, and the distances between a bin's mean confidence and its
        share of right answers are averaged over the pictures.
        Source: arXiv:1706.04599, equation 3.
        """
        right = self.top[:, 0] == self.labels
        chosen = np.minimum((self.confidence * bins).astype(int), bins - 1)
        gaps = [
            abs(np.sum(self.confidence[chosen == bin_]) - np.sum(right[chosen == bin_]))
            for bin_ in range(bins)
        ]
        return float(np.sum(gaps) / len(self.labels))

    def mean_class_accuracy(self) -> float:
        """Returns the share of right answers of each class, on average over classes.

        Every class counts alike, however few pictures it has; those without any are
        left out.
        """
        counts = self.confusion()
        totals = counts.sum(axis=1)
        return float(np.mean(np.diag(counts)[totals > 0] / totals[totals > 0]))

    def confusion(self) -> np.ndarray:
        """Returns counts `(classes, classes)`: row is the label, column the answer."""
        counts = np.zeros((self.classes, self.classes), np.int64)
        np.add.at(counts, (self.labels, self.top[:, 0]), 1)
        return counts


def evaluate(
    batches: Iterable[Any],
    step: Callable[[Any, Any], Any],
    collect: Callable[[Any], np.ndarray],
    classes: int,
    after_batch: Callable[[], None] = lambda: None,
) -> Verdicts:
    """Runs an evaluation step over every batch.

    Args:
        batches: Distributed (pictures, labels, weights); weight 0 is padding.
        step: From `step.make_evaluation_step`.
        collect: Makes one array of what the devices hold, in their order.
        classes: How many classes there are.
        after_batch: Called after each.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for images, labels, weights in batches:
        answers = {**step(images, labels), "labels": labels, "weights": weights}
        for name, value in answers.items():
            parts.setdefault(name, []).append(collect(value))
        after_batch()
    whole = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    real = whole["weights"] > 0
    return Verdicts(
        labels=whole["labels"][real],
        top=whole["top"][real],
        confidence=whole["confidence"][real],
        losses=whole["loss"][real],
        classes=classes,
    )


def verdicts_of(labels: np.ndarray, probabilities: np.ndarray) -> Verdicts:
    """Returns the verdicts of a model whose probabilities are all at hand.

    Args:
        labels: True class numbers `(count,)`.
        probabilities: `(count, classes)`.
    """
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    rows = np.arange(len(labels))
    return Verdicts(
        labels=labels,
        top=top,
        confidence=probabilities[rows, top[:, 0]],
        losses=-np.log(np.maximum(probabilities[rows, labels], LEAST_PROBABILITY)),
        classes=probabilities.shape[1],
    )
