"""A classifier's last class, for images of no class: what tells it, and how well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np

from ..evaluation import unknown
from ..evaluation.unknown import BY_NEIGHBORS, ENERGY, Neighborhood
from . import classifier_head


@dataclass(frozen=True)
class Seen:
    """What a classifier makes of some images.

    Attributes:
        logits: `(images, classes)`.
        features: `(images, channels)`, what its last layer sees.
    """

    logits: np.ndarray
    features: np.ndarray


@dataclass(frozen=True)
class UnknownClass:
    """What tells images of no class, both ways.

    Attributes:
        logit: The constant that is above all logits of such an image.
        near: The training images that it is unlike; None where they are not known.
        by: Which of both is in the file, `ENERGY` or `BY_NEIGHBORS`.
    """

    logit: float
    near: Neighborhood | None
    by: str

    def add_to(self, model: keras.Model, command: str) -> keras.Model:
        """Returns a model with that class, its last one.

        Args:
            model: The classifier.
            command: What wants it, for messages.

        Raises:
            ValueError: It gets no class more; one line.
        """
        if self.by == BY_NEIGHBORS and self.near:
            return classifier_head.with_neighbor_class(model, self.near, command)
        return classifier_head.with_constant_class(model, self.logit, command)

    def scores(self, seen: Seen) -> dict[str, np.ndarray]:
        """Returns how well known images are, `(images,)`, by each way there is."""
        scores = {ENERGY: unknown.minus_energy(seen.logits)}
        if near := self.near:
            scores[BY_NEIGHBORS] = unknown.cosines_to_neighbors(
                seen.features, near.bank, near.neighbors
            )
        return scores

    def are_known(self, seen: Seen) -> dict[str, np.ndarray]:
        """Returns whether images get one of the other classes, by each way there is."""
        found = {ENERGY: seen.logits.max(axis=1) > self.logit}
        if self.near:
            found[BY_NEIGHBORS] = self.scores(seen)[BY_NEIGHBORS] > self.near.threshold
        return found

    def describe(self, known: Seen) -> Iterator[str]:
        """Yields lines on what tells it, and how many images keep their class.

        Args:
            known: Validation images.
        """
        near = self.near
        if self.by == BY_NEIGHBORS and near:
            yield (
                f"{unknown.LABEL}: a class for images whose cosine to the "
                f"{near.neighbors}. nearest of {len(near.bank):,} training images is "
                f"below {near.threshold:.4f}"
            )
        else:
            yield f"{unknown.LABEL}: a class with the logit {self.logit:.4f}"
        kept = np.mean(self.are_known(known)[self.by])
        yield f"  validation images that keep their class {kept:8.2%}"

    def measure(self, known: Seen, others: Seen) -> Iterator[str]:
        """Yields lines on how well images of no class are told from the others.

        Args:
            known: Validation images.
            others: Images of no class.
        """
        one, other = self.scores(known), self.scores(others)
        found = self.are_known(others)
        head = "".join(f"{by:>11}" for by in one)
        yield f"{f'of {len(others.logits):,} images of no class':<38}{head}"
        rows: dict[str, Callable[[str], float]] = {
            "answered as unknown": lambda by: float(np.mean(~found[by])),
            "AUROC": lambda by: unknown.auroc(one[by], other[by]),
            "FPR95": lambda by: unknown.false_positive_rate(one[by], other[by]),
        }
        for name, figure in rows.items():
            cells = "".join(f"{figure(by):11.2%}" for by in one)
            yield f"  {name:<36}{cells}"


def fit(known: Seen, bank: np.ndarray | None, recall: float, by: str) -> UnknownClass:
    """Returns the class that leaves a share of images with theirs.

    Args:
        known: Validation images.
        bank: Features of training images `(kept, channels)`; None for by energy alone.
        recall: The share.
        by: `ENERGY` or `BY_NEIGHBORS`.
    """
    logit = unknown.fit_logit(known.logits, recall)
    near = None
    if bank is not None:
        near = unknown.fit_neighborhood(bank, known.features, recall)
    return UnknownClass(logit, near, by)
