"""A class for images of no class: its logit, and how well it tells them apart.

A classifier's softmax gets one more output. By energy its logit is a constant c, and
its probability

    exp(c) / (exp(c) + sum(exp(logits))) = 1 / (1 + exp(-energy - c)),

with the energy -log(sum(exp(logits))) of arXiv:2010.03759: the score that tells images
of no class from others. It is the most probable answer where every logit is below c.

By neighbors its logit is the highest of the others plus slope * (t - cosine), with the
cosine of the image's features to those of its 10th nearest training image: the score
of arXiv:2204.06507. It is the most probable answer where the cosine is below t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .probes import find_nearest, normalize

if TYPE_CHECKING:
    from ..data.source import Source

LABEL = "unknown"
WAYS = ENERGY, BY_NEIGHBORS = ("energy", "neighbors")
_BELOW = 1e-3
# Source: arXiv:2204.06507, section 4.3, takes the tenth where 1 % of ImageNet is kept.
NEIGHBORS = 10
# As many training images are kept. More of them did no better (docs/training.md).
BANK_IMAGES = 1000
# Of these that are read at a time.
_AT_ONCE = 256
# What an image as near as half of the validation images loses at most to no class.
_LOST = 0.1


@dataclass(frozen=True)
class Neighborhood:
    """How an image of no class is told by its distance to training images.

    Attributes:
        bank: Features of training images, of length 1, float32 `(images, channels)`.
        neighbors: Which of the nearest counts, from 1.
        threshold: The cosine to it below which an image is of no class.
        slope: Of the logit of no class, in logits a cosine.
    """

    bank: np.ndarray
    neighbors: int
    threshold: float
    slope: float


def fit_logit(logits: np.ndarray, recall: float) -> float:
    """Returns the constant logit that leaves a share of images with their class.

    Args:
        logits: Of validation images, `(images, classes)`.
        recall: The share of them whose highest logit is to stay the highest.

    Returns:
        The highest such logit, halfway between two images; just below all images where
        too few are asked for to leave one out.

    Example:
        >>> import numpy as np
        >>> from training.evaluation import unknown
        >>> unknown.fit_logit(np.array([[1.0, 0], [2, 0], [3, 0], [4, 0]]), 0.75)
        1.5
    """
    return fit_threshold(logits.max(axis=1), recall)


def fit_threshold(scores: np.ndarray, recall: float) -> float:
    """Returns the score that a share of images is not below.

    Args:
        scores: Of validation images `(images,)`: the higher, the better known.
        recall: Their share that is to be above.

    Returns:
        The highest such score, halfway between two images; just below all of them
        where too few are asked for to leave one out.
    """
    ordered = np.sort(scores.astype(np.float64))
    # Of 0.95 * 20 images exactly one may be left out, whatever rounding says.
    left_out = len(ordered) - int(np.ceil(recall * len(ordered) - 1e-9))
    if left_out == 0:
        return float(ordered[0] - _BELOW)
    return float(ordered[left_out - 1 : left_out + 1].mean())


def pick_bank(
    labels: np.ndarray, count: int = BANK_IMAGES, seed: int = 0
) -> np.ndarray:
    """Returns numbers of images to keep, of each class as many as there are.

    A class with fewer images leaves its places to the others.

    Args:
        labels: Class numbers of the training images `(images,)`.
        count: How many to keep, at most.
        seed: Of the choice within a class.

    Returns:
        Numbers in rising order.

    Example:
        >>> import numpy as np
        >>> from training.evaluation import unknown
        >>> labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
        >>> labels[unknown.pick_bank(labels, 5)].tolist()
        [0, 0, 0, 1, 1]
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    # How many of its class come before an image in the random order.
    by_class = order[np.argsort(labels[order], kind="stable")]
    _, first, counts = np.unique(
        labels[by_class], return_index=True, return_counts=True
    )
    place = np.arange(len(labels)) - np.repeat(first, counts)
    return np.sort(by_class[np.argsort(place, kind="stable")[:count]])


def read_bank(
    source: Source, see: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray | None:
    """Returns features of some training images, `(kept, channels)`.

    Args:
        source: The data.
        see: From images uint8 `(batch, height, width, 3)` to their features.

    Returns:
        None where training images are not known by number and class.
    """
    labels = getattr(source.training, "labels", None)
    if labels is None or labels.ndim != 1:
        return None
    numbers = pick_bank(labels)
    whole = replace(source, validation=source.training)
    parts = np.array_split(numbers, -(-len(numbers) // _AT_ONCE))
    return np.concatenate([see(whole.validation_images(part)[0]) for part in parts])


def cosines_to_neighbors(
    features: np.ndarray, bank: np.ndarray, neighbors: int
) -> np.ndarray:
    """Returns the cosine of each image to one of its nearest in the bank `(images,)`.

    Args:
        features: `(images, channels)`.
        bank: Of length 1, `(kept, channels)`.
        neighbors: Which of the nearest, from 1.

    Source: arXiv:2204.06507, section 3; the distance there is
    sqrt(2 - 2 * cosine).
    """
    rows = find_nearest(normalize(features), bank, neighbors)
    return np.concatenate([cosines[:, -1] for _, cosines in rows])


def fit_neighborhood(
    bank: np.ndarray, validation: np.ndarray, recall: float
) -> Neighborhood:
    """Returns what tells images of no class by their neighbors.

    Args:
        bank: Features of training images `(kept, channels)`.
        validation: Those of validation images `(images, channels)`.
        recall: The share of these that is to keep its class.
    """
    bank = normalize(bank).astype(np.float32)
    neighbors = min(NEIGHBORS, len(bank))
    cosines = cosines_to_neighbors(validation, bank, neighbors)
    threshold = fit_threshold(cosines, recall)
    above = max(float(np.median(cosines)) - threshold, _BELOW)
    slope = float(np.log((1 - _LOST) / _LOST)) / above
    return Neighborhood(bank, neighbors, threshold, slope)


def minus_energy(logits: np.ndarray) -> np.ndarray:
    """Returns log(sum(exp(logits))) `(images,)`: the higher, the better known.

    Source: arXiv:2010.03759, equation 4, with a temperature of 1.
    """
    logits = logits.astype(np.float64)
    highest = logits.max(axis=1)
    sums = np.exp(logits - highest[:, np.newaxis]).sum(axis=1)
    return np.asarray(highest + np.log(sums))


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Returns how often a known image has the higher score; ties count half.

    Args:
        known: Scores of images of the classes.
        unknown: Scores of others.

    Example:
        >>> import numpy as np
        >>> from training.evaluation import unknown
        >>> unknown.auroc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
        0.875
    """
    ordered = np.sort(unknown)
    below = np.searchsorted(ordered, known, side="left")
    equal = np.searchsorted(ordered, known, side="right") - below
    return float((below + equal / 2).mean() / len(unknown))


def false_positive_rate(
    known: np.ndarray, unknown: np.ndarray, recall: float = 0.95
) -> float:
    """Returns the share of unknown images that are kept where most known ones are.

    Args:
        known: Scores of images of the classes.
        unknown: Scores of others.
        recall: Share of the known images that are kept, at least. With 0.95 it is the
            FPR95 of the papers.

    Example:
        >>> import numpy as np
        >>> from training.evaluation import unknown
        >>> scores = np.arange(20.0)
        >>> unknown.false_positive_rate(scores, np.array([0.5, 1.5]))
        0.5
    """
    kept = int(np.ceil(recall * len(known) - 1e-9))
    threshold = np.sort(known)[len(known) - kept]
    return float(np.mean(unknown >= threshold))
