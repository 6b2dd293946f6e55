"""What a model says of labeled images, and the figures made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

TOP = 5
# Stands in for a probability that has been rounded to 0.
LEAST_PROBABILITY = 1e-30


@dataclass(frozen=True)
class ClassCounts:
    """Counts of each class, each `(classes,)`.

    Attributes:
        images: How many images are of the class.
        correct: How many of them are predicted as it.
        predicted: How many images of any class are predicted as it.
    """

    images: np.ndarray
    correct: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class Predictions:
    """A model's answers for a set of images, padding left out.

    Attributes:
        labels: True class numbers `(count,)`.
        top: Class numbers of the highest scores, best first, `(count, 5)` or fewer.
        confidence: Probability given to the first of them `(count,)`.
        losses: Minus the logarithm of the label's probability `(count,)`.
        classes: How many classes there are.
        suspected: Numbers of the images whose labels are probably wrong, the surest
            first; None where nobody has looked.
    """

    labels: np.ndarray
    top: np.ndarray
    confidence: np.ndarray
    losses: np.ndarray
    classes: int
    suspected: np.ndarray | None = None

    @property
    def top1(self) -> float:
        """Share of images whose first answer is right."""
        return float(np.mean(self.top[:, 0] == self.labels))

    @property
    def top5(self) -> float:
        """Share of images whose label is among the first five answers."""
        return float(np.mean(np.any(self.top == self.labels[:, None], axis=1)))

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats."""
        return float(np.mean(self.losses, dtype=np.float64))

    def calibration_error(self, bins: int = 15) -> float:
        """Returns by how much the model is surer than it is right, on average.

        The expected calibration error: images are sorted into bins of equal width
        by confidence, and the distances between a bin's mean confidence and its
        share of right answers are averaged over the images.
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

        Every class counts alike, however few images it has; those without any are
        left out.
        """
        counts = self.by_class()
        seen = counts.images > 0
        return float(np.mean(counts.correct[seen] / counts.images[seen]))

    def by_class(self) -> ClassCounts:
        """Returns the counts of each class; memory grows with the classes alone."""
        answers = self.top[:, 0]
        images, correct, predicted = (
            np.bincount(chosen, minlength=self.classes)
            for chosen in (self.labels, answers[answers == self.labels], answers)
        )
        return ClassCounts(images, correct, predicted)

    def worst_mistakes(self, count: int = 24) -> np.ndarray:
        """Returns the numbers of the images answered wrong, the surest first.

        Args:
            count: How many, at most.
        """
        wrong = np.flatnonzero(self.top[:, 0] != self.labels)
        order = np.argsort(-self.confidence[wrong], kind="stable")
        return wrong[order][:count]

    def confusion(self) -> np.ndarray:
        """Returns counts `(classes, classes)`: row is the label, column the answer.

        Memory grows with the square of the classes; `confusion_pairs` and
        `confusion_row` are for very many.
        """
        counts = np.zeros((self.classes, self.classes), np.int64)
        np.add.at(counts, (self.labels, self.top[:, 0]), 1)
        return counts

    def confusion_pairs(self) -> np.ndarray:
        """Returns rows (label, answer, count), `(pairs, 3)`: what occurs, sorted."""
        pairs = np.stack([self.labels, self.top[:, 0]], axis=1).astype(np.int64)
        found, counts = np.unique(pairs, axis=0, return_counts=True)
        return np.concatenate([found, counts[:, None]], axis=1)

    def confusion_row(self, label: int) -> np.ndarray:
        """Returns how often images of a class got each answer, `(classes,)`."""
        answers = self.top[self.labels == label, 0]
        return np.bincount(answers, minlength=self.classes)


def gathered(rows: Iterable[Mapping[str, np.ndarray]], classes: int) -> Predictions:
    """Returns the predictions of several batches as those of one set of images.

    Args:
        rows: Of each batch, arrays by the names of the attributes of `Predictions`.
        classes: How many classes there are.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for some in rows:
        for name, values in some.items():
            parts.setdefault(name, []).append(values)
    whole = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return Predictions(**whole, classes=classes)


def join(parts: Sequence[Predictions]) -> Predictions:
    """Returns the predictions of several batches as those of one set of images."""
    names = ("labels", "top", "confidence", "losses")
    rows = ({name: getattr(part, name) for name in names} for part in parts)
    return gathered(rows, parts[0].classes)


def predictions_from_probabilities(
    labels: np.ndarray, probabilities: np.ndarray
) -> Predictions:
    """Returns the predictions of a model whose probabilities are all at hand.

    Args:
        labels: True class numbers `(count,)`.
        probabilities: `(count, classes)`.
    """
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    rows = np.arange(len(labels))
    return Predictions(
        labels=labels,
        top=top,
        confidence=probabilities[rows, top[:, 0]],
        losses=-np.log(np.maximum(probabilities[rows, labels], LEAST_PROBABILITY)),
        classes=probabilities.shape[1],
    )
