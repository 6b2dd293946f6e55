"""Compares an exported file, run in a process of its own, with the Keras model."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_convnext.image import evaluation_view

from . import rerun
from .console import Failure
from .network import Network
from .pictures import Pictures, decoded
from .precisions import Precision
from .source import Source

# The signature for pixels takes the pictures one by one, as their sizes differ.
_MOST_IMAGES = 8
_BATCH = 8


@dataclass(frozen=True)
class Reference:
    """Pictures as the model sees them, and what Keras says of each.

    Attributes:
        names: What the pictures are called.
        files: The encoded pictures.
        images: Their pixels, uint8 `(height, width, 3)`.
        tensors: What the model takes, float32 `(count, size_px, size_px, 3)`, 0..255.
        probabilities: Keras' answers, float32 `(count, classes)`.
        features: What Keras' classifier sees, float32 `(count, channels)`.
        labels: The class names.
        truth: The number of each picture's class, `(count,)`; `None` where not all of
            the pictures come with a class of the model's.
    """

    names: tuple[str, ...]
    files: tuple[bytes, ...]
    images: tuple[np.ndarray, ...]
    tensors: np.ndarray
    probabilities: np.ndarray
    features: np.ndarray
    labels: tuple[str, ...]
    truth: np.ndarray | None = None

    def accuracy(self, probabilities: np.ndarray) -> float | None:
        """Returns the share of pictures whose first class is their own, if known."""
        if self.truth is None:
            return None
        return float(np.mean(np.argmax(probabilities, axis=-1) == self.truth))


@dataclass(frozen=True)
class Proof:
    """What an exported file answered, held against Keras.

    Attributes:
        probabilities: The file's answers, float32 `(count, classes)`.
        max_abs_diff: Largest difference of a probability, over all signatures.
        cosine: Smallest cosine between the two answers to one picture.
        top1_agreement: Share of pictures with the same first class.
        top5_agreement: Share of Keras' five first classes among the file's.
        accuracy: Share of pictures classified rightly, where their classes are known.
        latency_ms: "p50" and "p95" of a call with one picture.
        load_ms: Time from opening the file until it can answer.
        peak_memory_mb: The most memory that the process held; `None` where the
            system does not tell.
        problems: What must not be, a line each; empty when the file is good.
    """

    probabilities: np.ndarray
    max_abs_diff: float
    cosine: float
    top1_agreement: float
    top5_agreement: float
    latency_ms: dict[str, float]
    load_ms: float
    peak_memory_mb: float | None
    accuracy: float | None = None
    problems: list[str] = field(default_factory=list)


def ask_keras(source: Source, pictures: Pictures) -> Reference:
    """Returns Keras' own answers.

    Args:
        source: The model.
        pictures: What to ask about.

    Raises:
        Mistake: A picture cannot be decoded.
    """
    images = [decoded(picture) for picture in pictures.members]
    views = [evaluation_view(image, source.preprocessing).numpy() for image in images]
    tensors = np.stack(views)
    batches = [tensors[i : i + _BATCH] for i in range(0, len(tensors), _BATCH)]
    network = Network(source.model, source.preprocessing)
    answers = [network.forward(batch) for batch in batches]
    return Reference(
        names=tuple(picture.name for picture in pictures.members),
        files=tuple(picture.contents for picture in pictures.members),
        images=tuple(images),
        tensors=tensors,
        probabilities=np.concatenate([probabilities for _, probabilities in answers]),
        features=np.concatenate([features for features, _ in answers]),
        labels=source.labels,
        truth=_truth(pictures, source.labels),
    )


def _truth(pictures: Pictures, labels: tuple[str, ...]) -> np.ndarray | None:
    """Returns the numbers of the pictures' own classes, if the model has them all."""
    number_of = {label: number for number, label in enumerate(labels)}
    numbers = [number_of.get(picture.label or "") for picture in pictures.members]
    return None if None in numbers else np.array(numbers)


def _run_alone(artefact: Path, reference: Reference) -> dict[str, np.ndarray]:
    """Returns what the file answers in a fresh process."""
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
            [sys.executable, "-P", rerun.__file__, artefact, questions, answers],
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise Failure(
                f"{artefact.name} does not run in a process of its own "
                f"(exit code {done.returncode}): {lines[-1][:300]}"
            )
        with np.load(answers) as file:
            return dict(file)


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the smallest cosine between rows of the two."""
    products = np.sum(one * other, axis=-1)
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return float(np.min(products / np.maximum(norms, np.finfo(np.float64).tiny)))


def _top5_agreement(expected: np.ndarray, found: np.ndarray) -> float:
    shares = []
    count = min(5, expected.shape[-1])
    for wanted, given in zip(expected, found, strict=True):
        first = set(np.argsort(-wanted)[:count])
        shares.append(len(first & set(np.argsort(-given)[:count])) / count)
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
    scores = answers["bytes_scores"]
    top = scores.shape[-1]
    difference = max(
        _difference(expected, answers["batched"]),
        _difference(expected[: len(answers["images"])], answers["images"]),
        _difference(-np.sort(-expected, axis=-1)[:, :top], scores),
    )
    names = [row[0].decode() for row in answers["bytes_classes"]]
    wanted = [reference.labels[index] for index in np.argmax(expected, axis=-1)]
    if names != wanted:
        problems.append("the signature for encoded pictures names other classes")
    if any(answers["bytes_status"]):
        problems.append("a good picture beside a broken one was refused")
    if not answers["broken_status"].item():
        problems.append("a broken picture was accepted")
    if _cosine(reference.features, answers["features"]) < 0.9999:
        problems.append("the features differ")
    return difference, problems


def _rounded(value: np.ndarray) -> float | None:
    return round(float(value), 1) if np.isfinite(value) else None


def prove(artefact: Path, precision: Precision, reference: Reference) -> Proof:
    """Runs an exported file in a fresh process and compares it with Keras.

    Args:
        artefact: A SavedModel's folder or a TFLite file.
        precision: Which limits hold.
        reference: Keras' answers.

    Raises:
        Failure: The file does not run at all.
    """
    answers = _run_alone(artefact, reference)
    expected = reference.probabilities.astype(np.float64)
    found = answers["probabilities"].astype(np.float64)
    difference = _difference(expected, found)
    problems: list[str] = []
    if "batched" in answers:
        others, problems = _check_signatures(answers, reference)
        difference = max(difference, others)
    same = np.argmax(expected, axis=-1) == np.argmax(found, axis=-1)
    top1 = float(np.mean(same))
    limit = precision.most_difference
    if limit is not None and not difference <= limit:
        problems.append(f"a probability differs by {difference:.2g}, limit {limit:g}")
    if top1 < precision.least_top1_agreement:
        problems.append(
            f"the first class agrees on {top1:.1%} of the pictures, at least "
            f"{precision.least_top1_agreement:.1%} is wanted"
        )
    problems += _lost(found, precision, reference)
    p50, p95 = np.percentile(answers["latencies_ms"], (50, 95))
    return Proof(
        probabilities=answers["probabilities"],
        max_abs_diff=difference,
        cosine=_cosine(expected, found),
        top1_agreement=top1,
        top5_agreement=_top5_agreement(expected, found),
        latency_ms={"p50": round(float(p50), 3), "p95": round(float(p95), 3)},
        load_ms=round(float(answers["load_ms"]), 1),
        peak_memory_mb=_rounded(answers["peak_bytes"] / 1e6),
        accuracy=reference.accuracy(found),
        problems=problems,
    )


def _lost(found: np.ndarray, precision: Precision, reference: Reference) -> list[str]:
    """Returns a problem where a file is right less often than Keras is."""
    right, expected = (
        reference.accuracy(answers) for answers in (found, reference.probabilities)
    )
    if right is None or expected is None:
        return []
    one_picture = 1 / len(found)
    if expected - right <= max(precision.most_accuracy_lost, one_picture) + 1e-9:
        return []
    return [
        f"{right:.2%} of the pictures are classified rightly, {expected:.2%} by Keras"
    ]
