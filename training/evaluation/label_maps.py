"""What a model's label maps are worth, counted over all images together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from keras_convnext.segmentation.metrics import Scores, score


@dataclass(frozen=True, eq=False)
class LabelMapResults:
    """Counted pixels of a set of images.

    Attributes:
        counts: Pixels by label and prediction, int64 `(classes, classes)`.
        image_iou: Mean IoU of each image alone, over the classes in it, `(images,)`;
            NaN where it has no labels. Which are the worst, and never a metric.
        loss: Mean cross-entropy over the labeled pixels, in nats; None where only
            label maps are known.
    """

    counts: np.ndarray
    image_iou: np.ndarray
    loss: float | None = None

    @property
    def scores(self) -> Scores:
        """The metrics of the counts."""
        return score(self.counts)

    def worst_images(self, count: int) -> np.ndarray:
        """Returns the numbers of the images with the lowest IoU, the worst first.

        Args:
            count: How many, at most.
        """
        order = np.argsort(self.image_iou, kind="stable")
        known = order[~np.isnan(self.image_iou[order])]
        return known[:count]

    def most_confused(self, count: int) -> list[tuple[int, int, float]]:
        """Returns the pairs of classes that are confused most.

        Args:
            count: How many, at most.

        Returns:
            (label, prediction, share of the label's pixels), the most pixels first.
        """
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        totals = self.counts.sum(axis=1)
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        pairs = (divmod(int(place), len(wrong)) for place in order)
        return [
            (label, other, float(wrong[label, other] / totals[label]))
            for label, other in pairs
            if wrong[label, other]
        ]


def sum_up(rows: Iterable[Mapping[str, np.ndarray]], classes: int) -> LabelMapResults:
    """Sums up what is known of some images at a time.

    Args:
        rows: "counts", `(images, classes * classes)`, and perhaps "losses", each
            image's sum over its labeled pixels.
        classes: How many classes there are.
    """
    total = np.zeros((classes, classes), np.int64)
    image_iou: list[float] = []
    loss: float | None = None
    for some in rows:
        for counts in some["counts"].reshape(-1, classes, classes):
            total += counts
            image_iou.append(score(counts).mean_iou)
        if "losses" in some:
            loss = (loss or 0.0) + float(some["losses"].sum(dtype=np.float64))
    pixels = int(total.sum())
    mean = None if loss is None else loss / max(pixels, 1)
    return LabelMapResults(total, np.array(image_iou), mean)
