"""Accuracy of label maps: mean intersection over union and its company."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

IGNORED = 255


@dataclass(frozen=True, eq=False)
class Scores:
    """What a matrix of counts says; every figure is in 0..1.

    Attributes:
        iou: Intersection over union of each class, float64 `(classes,)`; NaN for a
            class that is neither there nor predicted.
        accuracy: Share of each class's pixels that are predicted as such (recall); NaN
            for a class that is not there.
        pixel_accuracy: Share of all pixels that are right: mmsegmentation's aAcc.

    Source: github.com/open-mmlab/mmsegmentation 1.2.2, its IoUMetric.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.segmentation import score
        >>> scores = score(np.array([[3, 1], [0, 4]]))
        >>> scores.iou.tolist(), scores.mean_accuracy, scores.pixel_accuracy
        ([0.75, 0.8], 0.875, 0.875)
    """

    iou: np.ndarray
    accuracy: np.ndarray
    pixel_accuracy: float

    @property
    def mean_iou(self) -> float:
        """Mean over the classes that have one."""
        return _mean(self.iou)

    @property
    def mean_accuracy(self) -> float:
        """Mean over the classes that are there: mmsegmentation's mAcc."""
        return _mean(self.accuracy)


def count_pixels(
    labels: Any, predictions: Any, classes: int, ignored: int = IGNORED
) -> np.ndarray:
    """Counts pixels by their label and their prediction.

    Counts of several images add up; metrics are taken of the sum, never averaged over
    images.

    Args:
        labels: Integers of any shape, 0 to `classes - 1` or `ignored`.
        predictions: Integers of the same shape, 0 to `classes - 1`.
        classes: Number of classes.
        ignored: Label of the pixels that do not count.

    Returns:
        int64 `(classes, classes)`, a row for each label.

    Raises:
        ValueError: The shapes differ, or a number is no class.

    Source: github.com/open-mmlab/mmsegmentation 1.2.2, its IoUMetric.

    Example:
        >>> from keras_convnext.segmentation import count_pixels
        >>> count_pixels([0, 0, 1, 255], [0, 1, 1, 1], classes=2).tolist()
        [[1, 1], [0, 1]]
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape:
        raise ValueError(
            f"labels {labels.shape} and predictions {predictions.shape} differ in shape"
        )
    valid = labels != ignored
    rows = labels[valid].astype(np.int64)
    columns = predictions[valid].astype(np.int64)
    for name, numbers in (("label", rows), ("prediction", columns)):
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < classes:
            raise ValueError(
                f"a {name} lies outside 0..{classes - 1}: the numbers go from "
                f"{numbers.min()} to {numbers.max()}"
            )
    counts = np.bincount(rows * classes + columns, minlength=classes * classes)
    return counts.reshape(classes, classes)


def score(counts: np.ndarray) -> Scores:
    """Computes the metrics of counted pixels.

    Args:
        counts: What `count_pixels` returned, or the sum over images.

    Returns:
        Figures of each class and of all.

    Source: github.com/open-mmlab/mmsegmentation 1.2.2, its IoUMetric.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.segmentation import score
        >>> score(np.array([[3, 1], [0, 4]])).mean_iou
        0.775
    """
    right = np.diagonal(counts).astype(np.float64)
    labelled, predicted = counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = right / (labelled + predicted - right)
        accuracy = right / labelled
    total = counts.sum()
    return Scores(iou, accuracy, float(right.sum() / total) if total else float("nan"))


def mean_iou(
    labels: Any, predictions: Any, classes: int, ignored: int = IGNORED
) -> float:
    """Computes the mean intersection over union of label maps, in 0..1.

    Args:
        labels: Integers of any shape, 0 to `classes - 1` or `ignored`.
        predictions: Integers of the same shape.
        classes: Number of classes.
        ignored: Label of the pixels that do not count.

    Returns:
        The mean over classes that occur among labels or predictions; NaN if none does.

    Raises:
        ValueError: The shapes differ, or a number is no class.

    Source: github.com/open-mmlab/mmsegmentation 1.2.2, its IoUMetric.

    Example:
        >>> from keras_convnext.segmentation import mean_iou
        >>> mean_iou([[0, 1], [1, 255]], [[0, 1], [0, 1]], classes=3)
        0.5
    """
    return score(count_pixels(labels, predictions, classes, ignored)).mean_iou


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
