"""The temperature that makes a classifier as sure as it is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .metrics import Predictions, predictions_from_probabilities

# Between what temperatures it is sought, and how often the span is halved.
_LEAST, _MOST = 1e-3, 1e3
_STEPS = 100


@dataclass(frozen=True)
class Halves:
    """What a temperature does on images that it was not fitted on.

    Attributes:
        before: Predictions as they are.
        after: Those of each half of the images by the other half's temperature.
    """

    before: Predictions
    after: Predictions


def fit(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature with the lowest mean cross-entropy.

    Cross-entropy is convex in 1 / temperature, so that there is one such value: where
    its slope, the mean of expected less true logit, is 0.

    Args:
        logits: `(images, classes)`.
        labels: `(images,)`.

    Raises:
        ValueError: Every image is classified right, or they are classified no better
            than by chance: the best temperature is 0 or infinite.

    Source: arXiv:1706.04599, section 4.2.
    """
    logits = logits.astype(np.float64)
    true = logits[np.arange(len(labels)), labels]
    if np.all(true == logits.max(axis=1)):
        raise ValueError(
            f"all {len(labels)} images are classified right: there is no mistake to "
            "fit a temperature by"
        )
    if np.mean(logits.mean(axis=1) - true) >= 0:
        raise ValueError(
            f"{len(labels)} images are classified no better than by chance: no "
            "temperature helps"
        )
    least, most = _LEAST, _MOST
    for _ in range(_STEPS):
        middle = np.sqrt(least * most)
        probabilities = softmax(logits / middle)
        slope = np.mean((probabilities * logits).sum(axis=1) - true)
        # In 1 / temperature: below 0 the classifier is to be surer.
        least, most = (least, middle) if slope < 0 else (middle, most)
    return float(np.sqrt(least * most))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities `(images, classes)`."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def compare_halves(logits: np.ndarray, labels: np.ndarray) -> Halves | None:
    """Returns predictions with and without a temperature from other images.

    Args:
        logits: `(images, classes)`.
        labels: `(images,)`.

    Returns:
        None where a half of the images is too few to fit one.
    """
    half = np.random.default_rng(0).permutation(len(labels)) % 2
    after = np.empty(logits.shape)
    try:
        for part in (0, 1):
            temperature = fit(logits[half != part], labels[half != part])
            after[half == part] = softmax(logits[half == part] / temperature)
    except ValueError:
        return None
    before = softmax(logits.astype(np.float64))
    return Halves(
        *(
            predictions_from_probabilities(labels, rows.astype(np.float32))
            for rows in (before, after)
        )
    )
