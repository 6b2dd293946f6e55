"""Compares an exported file, run in a process of its own, with the Keras model."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..convert.precisions import Precision
from ..export_error import ExportError
from . import isolated_runner
from .agreement import measure_agreement, score_of_each, smallest_cosine, varies
from .reference import Reference
from .result import Result, costs

# The signature for pixels takes the images one by one, as their sizes differ.
_MOST_IMAGES = 8
_FIRST = 5
_TIE = 1e-4
# A file whose answers vary less than that beside Keras' is as good as constant.
_LEAST_VARIATION = 0.01
# Where Keras' own vary less, rounding may hide it.
_TELLING_VARIATION = 1e-4
# Of features.
_LEAST_COSINE = 0.9999
_AGREEING = {
    "softmax": "the share of images with the same first class is",
    "sigmoid": "the share of labels on which both say the same is",
    "number": "R2 to Keras' numbers is",
    "features": "the smallest cosine to Keras' features is",
}


@dataclass(frozen=True)
class ParityResult(Result):
    """What an exported file answered, held against Keras.

    Attributes:
        probabilities: The file's answers, float32 `(count, outputs)`.
        max_abs_diff: Largest difference of a probability, over all signatures; of
            features, as a share of the largest feature; of numbers, of the distance
            between the smallest and the largest.
        cosine: Smallest cosine between the two answers to one image.
        agreement: As `agreement.measure_agreement` has it.
        top5_agreement: Share of Keras' five first classes among the file's; `None`
            where there are not more than five classes, or labels do not exclude each
            other.
        accuracy: Share of images classified correctly, where their classes are known.
    """

    probabilities: np.ndarray
    max_abs_diff: float
    cosine: float
    agreement: float
    top5_agreement: float | None
    accuracy: float | None = None


def run_alone(artifact: Path, reference: Any) -> dict[str, np.ndarray]:
    """Returns the file's outputs, computed in a fresh process.

    Args:
        artifact: A SavedModel's folder or a TFLite file.
        reference: Has the files, images and tensors to ask about.

    Raises:
        ExportError: The file does not run at all.
    """
    with tempfile.TemporaryDirectory() as folder:
        questions, answers = Path(folder, "questions.npz"), Path(folder, "answers.npz")
        files = {
            f"files_{index}": np.frombuffer(contents, np.uint8)
            for index, contents in enumerate(reference.files)
        }
        images = {
            f"images_{index}": image
            for index, image in enumerate(reference.images[:_MOST_IMAGES])
        }
        arrays = {"tensors": reference.tensors, **files, **images}
        np.savez(questions, allow_pickle=False, **arrays)
        # -P keeps the program's own folder, and with it this project, out of reach.
        done = subprocess.run(
            [
                sys.executable,
                "-P",
                isolated_runner.__file__,
                artifact,
                questions,
                answers,
            ],
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise ExportError(
                f"{artifact.name} does not run in a process of its own "
                f"(exit code {done.returncode}): {lines[-1][:300]}"
            )
        with np.load(answers) as file:
            return dict(file)


def _top5_agreement(kind: str, expected: np.ndarray, found: np.ndarray) -> float | None:
    if kind != "softmax" or expected.shape[-1] <= _FIRST:
        return None
    shares = []
    for wanted, given in zip(expected, found, strict=True):
        first = set(np.argsort(-wanted)[:_FIRST])
        shares.append(len(first & set(np.argsort(-given)[:_FIRST])) / _FIRST)
    return float(np.mean(shares))


def _difference(expected: np.ndarray, found: np.ndarray) -> float:
    if expected.shape != found.shape or not np.all(np.isfinite(found)):
        return float("inf")
    return float(np.max(np.abs(expected - found)))


def _check_signatures(
    answers: dict[str, np.ndarray], reference: Reference
) -> tuple[float, list[str]]:
    """Holds the other signatures of a SavedModel against Keras.

    Returns:
        The largest difference of a probability, and what must not be.
    """
    expected, problems = reference.probabilities, []
    each = score_of_each(expected, len(reference.labels))
    scores = answers["bytes_scores"]
    top = scores.shape[-1]
    difference = max(
        _difference(expected, answers["batched"]),
        _difference(expected[: len(answers["images"])], answers["images"]),
        _difference(-np.sort(-each, axis=-1)[:, :top], scores),
    )
    names = [row[0].decode() for row in answers.get("bytes_classes", ())]
    if names and not all(map(partial(_is_first, reference.labels), names, each)):
        problems.append("the signature for encoded images names other classes")
    if any(answers["bytes_status"]):
        problems.append("a good image beside a broken one was refused")
    if not answers["broken_status"].item():
        problems.append("a broken image was accepted")
    if smallest_cosine(reference.features, answers["features"]) < _LEAST_COSINE:
        problems.append("the features differ")
    return difference, problems


def _is_first(labels: tuple[str, ...], name: str, scores: np.ndarray) -> bool:
    """Returns True if no other label has a higher score than this one."""
    own = [score for label, score in zip(labels, scores, strict=True) if label == name]
    # Two that are equal but for rounding may change places.
    return max(own, default=-np.inf) >= np.max(scores) - _TIE


def verify(artifact: Path, precision: Precision, reference: Reference) -> ParityResult:
    """Runs an exported file in a fresh process and compares it with Keras.

    Args:
        artifact: A SavedModel's folder or a TFLite file.
        precision: Which limits hold.
        reference: Keras' answers.

    Raises:
        ExportError: The file does not run at all.
    """
    answers = run_alone(artifact, reference)
    expected = reference.probabilities.astype(np.float64)
    found = answers["answers"].astype(np.float64)
    difference = _difference(expected, found)
    problems: list[str] = []
    if "batched" in answers:
        others, problems = _check_signatures(answers, reference)
        difference = max(difference, others)
    if reference.kind == "features":
        difference /= float(np.max(np.abs(expected))) or 1.0
    if reference.kind == "number":
        difference /= float(np.ptp(expected)) or 1.0
    agreement = 0.0
    if np.isfinite(difference):
        agreement = measure_agreement(reference.kind, expected, found)
    problems += _too_far(difference, agreement, precision, reference.kind)
    if varies(expected) > _TELLING_VARIATION and not (
        varies(found) >= _LEAST_VARIATION * varies(expected)
    ):
        problems.append("it answers every image alike")
    problems += _lost(found, precision, reference)
    return ParityResult(
        probabilities=answers["answers"],
        max_abs_diff=difference,
        cosine=smallest_cosine(expected, found),
        agreement=agreement,
        top5_agreement=_top5_agreement(reference.kind, expected, found),
        accuracy=reference.accuracy(found),
        problems=problems,
        **costs(answers),
    )


def _too_far(
    difference: float, agreement: float, precision: Precision, kind: str
) -> list[str]:
    """Returns a problem for each limit of a precision that is passed."""
    problems = []
    limit = precision.most_difference
    what = {"features": "feature", "number": "number, of their range,"}.get(
        kind, "probability"
    )
    if limit is not None and not difference <= limit:
        problems.append(f"a {what} differs by {difference:.2g}, limit {limit:g}")
    least = precision.least_agreement
    if agreement < least:
        problems.append(
            f"{_AGREEING[kind]} {agreement:.1%}, at least {least:.1%} is wanted"
        )
    return problems


def _lost(found: np.ndarray, precision: Precision, reference: Reference) -> list[str]:
    """Returns a problem where a file is right less often than Keras is."""
    right, expected = (
        reference.accuracy(answers) for answers in (found, reference.probabilities)
    )
    if right is None or expected is None:
        return []
    one_image = 1 / len(found)
    if expected - right <= max(precision.most_accuracy_lost, one_image) + 1e-9:
        return []
    return [
        f"{right:.2%} of the images are classified correctly, {expected:.2%} by Keras"
    ]
