"""When two answers to one image say the same, by what the outputs mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# From here on a label by itself is said to apply.
LEAST_PROBABILITY = 0.5

# What agreement is the share of, for people.
WORDS = {
    "softmax": "top-1 agreement",
    "sigmoid": "labels alike",
    "number": "R2 to Keras",
    "features": "least cosine",
}
# Float32's own rounding of a cosine of two like vectors.
_COSINE_ROUNDING = 1e-6
# The limit of float32, 1e-4 of the range, squared over a variance of a hundredth of it.
_R2_ROUNDING = 1e-6


def measure_agreement(kind: str, expected: np.ndarray, found: np.ndarray) -> float:
    """Returns how far two sets of answers say the same, from 0 to 1.

    Args:
        kind: "softmax": the share of images with the same first class; "sigmoid": the
            share of labels that both say apply, or both say do not; "number": R2 of
            the one to the other, 0 where it is negative; "features": the smallest
            cosine of two answers to one image.
        expected: Answers, `(images, outputs)`.
        found: Other answers to the same images.
    """
    if kind == "features":
        cosine = smallest_cosine(expected, found)
        return 1.0 if cosine > 1 - _COSINE_ROUNDING else cosine
    if kind == "number":
        spread = float(np.sum((expected - expected.mean()) ** 2))
        r2 = 1 - float(np.sum((expected - found) ** 2)) / (spread or 1.0)
        return 1.0 if r2 > 1 - _R2_ROUNDING else max(0.0, r2)
    return float(np.mean(decide(kind, expected) == decide(kind, found)))


def decide(kind: str, probabilities: np.ndarray) -> np.ndarray:
    """Returns the decisions that follow from probabilities.

    Args:
        kind: "softmax" or "sigmoid".
        probabilities: `(images, outputs)`.

    Returns:
        The number of each image's first class, `(images,)`, or for each label whether
        it applies, `(images, outputs)`.
    """
    if kind == "softmax":
        return np.argmax(probabilities, axis=-1)
    return probabilities > LEAST_PROBABILITY


def decide_on_class(kind: str, probabilities: np.ndarray) -> np.ndarray | None:
    """Returns the number of each image's class, where an image has one.

    Args:
        kind: As for `measure_agreement`.
        probabilities: `(images, outputs)`.

    Returns:
        `(images,)`; of one output, 1 for the second class. Nothing for labels that do
        not exclude each other, and for features.
    """
    if kind == "softmax":
        return np.argmax(probabilities, axis=-1)
    if kind == "sigmoid" and probabilities.shape[-1] == 1:
        return (probabilities[:, 0] > LEAST_PROBABILITY).astype(int)
    return None


def score_of_each(probabilities: np.ndarray, names: int) -> np.ndarray:
    """Returns a probability for each name, `(..., names)`.

    Args:
        probabilities: `(..., outputs)`; one output is the probability of the second
            of two classes.
        names: How many names there are.
    """
    if probabilities.shape[-1] == 1 and names == 2:
        return np.concatenate([1 - probabilities, probabilities], axis=-1)
    return probabilities


def say(kind: str, probabilities: np.ndarray, labels: Sequence[str]) -> str:
    """Returns an answer in words: the first class, or all labels that apply.

    Args:
        kind: As for `measure_agreement`.
        probabilities: Of one image, `(outputs,)`.
        labels: The names.
    """
    if kind == "features":
        return ""
    if kind == "number":
        return f"{probabilities[0]:.6g}"
    scores = score_of_each(probabilities, len(labels))
    order = np.argsort(-scores, kind="stable")
    apply = [index for index in order if scores[index] > LEAST_PROBABILITY]
    if kind == "softmax" or not apply:
        apply = [order[0]]
    return ", ".join(f"{labels[index]} {scores[index]:.1%}" for index in apply)


def smallest_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the smallest cosine between rows of the two."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    products = np.sum(one * other, axis=-1)
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return float(np.min(products / np.maximum(norms, np.finfo(np.float64).tiny)))


def varies(answers: np.ndarray) -> float:
    """Returns by how much answers to different images differ, at most."""
    return float(np.max(np.ptp(answers, axis=0)))
