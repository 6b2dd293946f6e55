"""What a model says of images with several labels, and the figures made of it.

Average precision, F1 and their averages are scikit-learn's, to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from keras_convnext.inference.sidecars import USUAL_THRESHOLD


@dataclass(frozen=True, eq=False)
class LabelPredictions:
    """A model's answers for a set of images, padding left out.

    Attributes:
        truth: Whether each label applies, bool `(count, labels)`.
        probabilities: float `(count, labels)`.
        losses: Mean binary cross-entropy of each image `(count,)`, in nats.
    """

    truth: np.ndarray
    probabilities: np.ndarray
    losses: np.ndarray

    @property
    def loss(self) -> float:
        """Mean binary cross-entropy, in nats."""
        return float(np.mean(self.losses, dtype=np.float64))

    @cached_property
    def average_precisions(self) -> np.ndarray:
        """Average precision of each label; NaN where no image has it."""
        return np.array(
            [
                average_precision(truth, scores)
                for truth, scores in zip(
                    self.truth.T, self.probabilities.T, strict=True
                )
            ]
        )

    @property
    def mean_average_precision(self) -> float:
        """Mean over the labels that an image has; 0 where there is none."""
        known = self.average_precisions[~np.isnan(self.average_precisions)]
        return float(known.mean()) if len(known) else 0.0

    @property
    def micro_average_precision(self) -> float:
        """Average precision of all decisions as those of one label."""
        found = average_precision(self.truth.ravel(), self.probabilities.ravel())
        return 0.0 if np.isnan(found) else found

    def decide(self, thresholds: np.ndarray | float = USUAL_THRESHOLD) -> np.ndarray:
        """Returns which labels are said to apply, bool `(count, labels)`.

        Args:
            thresholds: One for all labels, or `(labels,)`; a probability above it says
                that a label applies.
        """
        return self.probabilities > thresholds

    def figures(self, thresholds: np.ndarray) -> dict[str, float]:
        """Returns the figures by the names that metrics.json has.

        Args:
            thresholds: Of each label, for the F1 that are called fitted.
        """
        usual, fitted = self.decide(), self.decide(thresholds)
        return {
            "map": self.mean_average_precision,
            "map_micro": self.micro_average_precision,
            "f1_macro": float(f1_scores(self.truth, usual).mean()),
            "f1_micro": f1_micro(self.truth, usual),
            "f1_macro_fitted": float(f1_scores(self.truth, fitted).mean()),
            "f1_micro_fitted": f1_micro(self.truth, fitted),
            "loss": self.loss,
        }

    def worst(self, count: int = 24) -> np.ndarray:
        """Returns the numbers of the images with the highest loss, that first."""
        return np.argsort(-self.losses, kind="stable")[:count]


@dataclass(frozen=True, eq=False)
class FittedLabels:
    """A model's answers, and the thresholds that fit them.

    Attributes:
        predictions: Of the validation images.
        thresholds: Fitted on them, `(labels,)`.
    """

    predictions: LabelPredictions
    thresholds: np.ndarray


def gathered(rows: Iterable[Mapping[str, np.ndarray]]) -> LabelPredictions:
    """Returns the answers of several batches as those of one set of images."""
    parts: dict[str, list[np.ndarray]] = {}
    for some in rows:
        for name, values in some.items():
            parts.setdefault(name, []).append(values)
    whole = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return LabelPredictions(
        whole["labels"] > 0.5, whole["probabilities"], whole["losses"]
    )


def binary_cross_entropy(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns the mean over the labels of each image, `(count,)`, in nats."""
    right = np.where(truth, probabilities, 1.0 - probabilities.astype(np.float64))
    return -np.log(np.maximum(right, 1e-30)).mean(axis=1)


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Returns the mean precision over the steps of recall, NaN without a positive.

    Equal scores are one step. Source: scikit-learn's `average_precision_score`.

    Args:
        truth: bool `(count,)`.
        scores: `(count,)`, higher where more likely.
    """
    hits, taken = _cuts(truth, scores)[:2]
    if not truth.any():
        return float("nan")
    recall = np.concatenate([[0.0], hits / hits[-1]])
    return float(np.sum(np.diff(recall) * hits / taken))


def f1_scores(truth: np.ndarray, decided: np.ndarray) -> np.ndarray:
    """Returns F1 of each label; 0 where no image has it nor is said to.

    Args:
        truth: bool `(count, labels)`.
        decided: As truth.
    """
    hits = np.sum(truth & decided, axis=0)
    total = truth.sum(axis=0) + decided.sum(axis=0)
    return 2.0 * hits / np.maximum(total, 1)


def f1_micro(truth: np.ndarray, decided: np.ndarray) -> float:
    """Returns F1 of all decisions as those of one label."""
    return float(f1_scores(truth.reshape(-1, 1), decided.reshape(-1, 1))[0])


def fit_thresholds(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns the threshold of each label with the highest F1, `(labels,)`.

    It lies in the middle between two probabilities; of equally good ones it is the one
    nearest to 0.5, which also stands for a label that no image has.

    Args:
        truth: bool `(count, labels)`.
        probabilities: `(count, labels)`.
    """
    return np.array(
        [
            _fit_threshold(one, scores.astype(np.float64))
            for one, scores in zip(truth.T, probabilities.T, strict=True)
        ]
    )


def _fit_threshold(truth: np.ndarray, scores: np.ndarray) -> float:
    if not truth.any():
        return USUAL_THRESHOLD
    hits, taken, levels = _cuts(truth, scores)
    middles = (levels + np.append(levels[1:], 0.0)) / 2
    f1 = 2.0 * hits / (taken + truth.sum())
    best = middles[np.isclose(f1, f1.max(), rtol=0, atol=1e-12)]
    return float(best[np.argmin(np.abs(best - USUAL_THRESHOLD))])


def _cuts(
    truth: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns what is taken at each level of the scores, the highest first.

    Returns:
        How many of the positives, how many in all, and the level, each `(levels,)`.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    return np.cumsum(truth[order])[ends], ends + 1, ordered[ends]
