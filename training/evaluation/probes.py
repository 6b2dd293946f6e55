"""How good features are for telling classes apart, by simple classifiers on them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# How near neighbors weigh, and how many vote: DINOv2's protocol.
TEMPERATURE = 0.07
NEIGHBORS = (10, 20, 100, 200)
# Rows compared with all others at a time.
_ROWS = 1024
_PROBE_STEPS = 1000


def normalize(features: np.ndarray) -> np.ndarray:
    """Returns features of length 1, so that products are cosines.

    Args:
        features: `(images, channels)`.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(lengths, np.finfo(np.float32).tiny)


def find_nearest(
    queries: np.ndarray, others: np.ndarray, count: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields, for some queries at a time, their nearest neighbors, nearest first.

    Args:
        queries: `(queries, channels)` of length 1.
        others: `(others, channels)` of length 1.
        count: How many neighbors, at most.

    Yields:
        (numbers of others, cosines), both `(rows, count)`.
    """
    count = min(count, len(others))
    for first in range(0, len(queries), _ROWS):
        cosines = queries[first : first + _ROWS] @ others.T
        numbers = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        found = np.take_along_axis(cosines, numbers, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        yield (
            np.take_along_axis(numbers, order, axis=1),
            np.take_along_axis(found, order, axis=1),
        )


def predict_by_neighbors(
    features: np.ndarray,
    labels: np.ndarray,
    queries: np.ndarray,
    neighbors: int,
    classes: int,
) -> np.ndarray:
    """Returns the classes that the nearest images vote for.

    Each neighbor votes for its own class with exp(cosine / 0.07), as in the evaluation
    of DINO (arXiv:2104.14294, appendix) and DINOv2.

    Args:
        features: `(images, channels)` of images with a label.
        labels: Their classes, `(images,)`.
        queries: `(queries, channels)`.
        neighbors: How many vote.
        classes: How many there are.

    Returns:
        `(queries,)`.
    """
    predicted = []
    for numbers, cosines in find_nearest(
        normalize(queries), normalize(features), neighbors
    ):
        # Less the largest: the same winner, and nothing overflows.
        weights = np.exp((cosines - cosines[:, :1]) / TEMPERATURE)
        votes = np.zeros((len(numbers), classes))
        rows = np.arange(len(numbers))[:, None]
        np.add.at(votes, (rows, labels[numbers]), weights)
        predicted.append(votes.argmax(axis=1))
    return np.concatenate(predicted)


def predict_linearly(
    features: np.ndarray, labels: np.ndarray, queries: np.ndarray
) -> np.ndarray:
    """Returns the classes by logistic regression on features of length 1.

    It is scikit-learn's with its own settings; the features are scaled by the root of
    their number of channels, so that its penalty weighs alike for all widths.

    Args:
        features: `(images, channels)` of images with a label.
        labels: Their classes, `(images,)`.
        queries: `(queries, channels)`.

    Returns:
        `(queries,)`.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    from sklearn.linear_model import LogisticRegression

    scale = np.sqrt(features.shape[1])
    probe = LogisticRegression(max_iter=_PROBE_STEPS)
    probe.fit(scale * normalize(features), labels)
    return np.asarray(probe.predict(scale * normalize(queries)))


def accuracies(predicted: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Returns the share that is right, and its mean over the classes that occur."""
    right = predicted == labels
    by_class = [right[labels == number].mean() for number in np.unique(labels)]
    return float(right.mean()), float(np.mean(by_class))
