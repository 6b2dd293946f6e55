"""What a model says of images with a number each, and the figures made of it.

They are scikit-learn's mean_absolute_error, root_mean_squared_error and r2_score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Standard:
    """The mean and the deviation of the training images' numbers.

    Attributes:
        mean: In the numbers' own unit.
        scale: Their standard deviation, above 0.
    """

    mean: float
    scale: float


def standard_of(numbers: np.ndarray) -> Standard:
    """Returns the mean and the standard deviation of numbers that are not all equal.

    Args:
        numbers: `(count,)`.
    """
    values = np.asarray(numbers, np.float64)
    return Standard(float(values.mean()), float(values.std()) or 1.0)


@dataclass(frozen=True, eq=False)
class NumberPredictions:
    """A model's answers for a set of images, padding left out.

    Attributes:
        truth: float64 `(count,)`.
        numbers: The answers, in the same unit.
    """

    truth: np.ndarray
    numbers: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """By how much each answer is too high, `(count,)`."""
        return self.numbers - self.truth

    def figures(self) -> dict[str, float]:
        """Returns the figures by the names that metrics.json has.

        R2 of numbers that are all equal is 0 where an answer differs from them, as
        scikit-learn has it.
        """
        squares = float(np.sum(self.errors**2))
        spread = float(np.sum((self.truth - self.truth.mean()) ** 2))
        r2 = 1.0 - squares / spread if spread else float(squares == 0)
        return {
            "mae": float(np.mean(np.abs(self.errors))),
            "rmse": float(np.sqrt(squares / len(self.truth))),
            "r2": r2,
        }

    def worst(self, count: int = 24) -> np.ndarray:
        """Returns the numbers of the images with the largest errors, these first."""
        return np.argsort(-np.abs(self.errors), kind="stable")[:count]


def gathered(
    rows: Iterable[Mapping[str, np.ndarray]], standard: Standard
) -> NumberPredictions:
    """Returns the answers of several batches as those of one set of images.

    Args:
        rows: Of each batch "labels", and either "numbers" in their unit or
            "standardized" ones, each `(batch,)`.
        standard: Of the training images.
    """
    truth, numbers = [], []
    for some in rows:
        truth.append(some["labels"])
        if "numbers" in some:
            numbers.append(some["numbers"])
        else:
            values = np.asarray(some["standardized"], np.float64)
            numbers.append(values * standard.scale + standard.mean)
    return NumberPredictions(
        np.concatenate(truth).astype(np.float64),
        np.concatenate(numbers).astype(np.float64),
    )
