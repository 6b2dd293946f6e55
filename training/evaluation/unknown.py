"""A class for images of no class: its constant logit, and how well it tells them apart.

A classifier's softmax gets one more output with a constant logit c. Its probability is

    exp(c) / (exp(c) + sum(exp(logits))) = 1 / (1 + exp(-energy - c)),

with the energy -log(sum(exp(logits))) of arXiv:2010.03759: the score that tells images
of no class from others. It is the most probable answer where every logit is below c.
"""

from __future__ import annotations

import numpy as np

LABEL = "unknown"
_BELOW = 1e-3


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
    highest = np.sort(logits.max(axis=1).astype(np.float64))
    # Of 0.95 * 20 images exactly one may be left out, whatever rounding says.
    left_out = len(highest) - int(np.ceil(recall * len(highest) - 1e-9))
    if left_out == 0:
        return float(highest[0] - _BELOW)
    return float(highest[left_out - 1 : left_out + 1].mean())


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
