"""What is drawn of a finished run, and the images that it leaves as files."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from ..evaluation import unknown
from ..evaluation.metrics import Predictions
from ..inference import saliency
from . import insight_plots, plots, results
from .outcome import Outcome

_SHEET_IMAGES = 40
_SAMPLE_IMAGES = 8
_EMBEDDED_IMAGES = 225
_EXPLAINED_IMAGES = 6
_UNLIKE_IMAGES = 8
_SUSPECTED_IMAGES = 24
# The share of validation images that are like the training images.
_KEPT = 0.95
_BATCH = 32


def draw(outcome: Outcome, names: Sequence[str]) -> dict[str, bytes]:
    """Draws what a classifier says and sees, and leaves some images as samples.

    Args:
        outcome: Of classification: its model has probabilities as outputs, and its
            details are predictions.
        names: File names of the validation images, in their order.

    Returns:
        PNGs by file name.
    """
    source, model = outcome.source, outcome.model
    predictions: Predictions = outcome.details
    classes = source.classes
    images, labels = source.sample_images(_EMBEDDED_IMAGES)
    features, probabilities = _answers(model, images)
    few = _spread(len(images), _SHEET_IMAGES)
    drawn = {
        "predictions.png": plots.sheet(
            images[few], labels[few], probabilities[few], classes
        ),
        "calibration.png": insight_plots.calibration(predictions),
    }
    if len(images) > 2:
        drawn["embedding.png"] = insight_plots.embedding(
            features, images, labels, classes
        )
        seen = (images, labels, probabilities)
        if unlike := _unlike(outcome, features, seen, names):
            drawn["unlike.png"] = unlike
    right = few[probabilities[few].argmax(axis=1) == labels[few]]
    right = right[_spread(len(right), _EXPLAINED_IMAGES)]
    shown, truths_shown = images[right], labels[right]
    mistakes = predictions.worst_mistakes()
    if len(mistakes):
        wrong, truths = source.validation_images(mistakes)
        _, said = _answers(model, wrong)
        number = int((predictions.top[:, 0] != predictions.labels).sum())
        title = f"{len(wrong)} of {number} errors, most confident first"
        drawn["mistakes.png"] = plots.sheet(
            wrong, truths, said, classes, title, [names[n] for n in mistakes]
        )
        half = _EXPLAINED_IMAGES // 2
        shown = np.concatenate([wrong[:half], shown[::2], shown[1::2]])
        truths_shown = np.concatenate(
            [truths[:half], truths_shown[::2], truths_shown[1::2]]
        )
    shown = shown[:_EXPLAINED_IMAGES]
    if keras.backend.backend() == "tensorflow":  # whose gradients these are
        drawn["explained.png"] = _explained(
            model, shown, truths_shown[: len(shown)], classes
        )
    if predictions.suspected is not None and len(predictions.suspected):
        drawn["label_errors.png"] = _suspected(outcome, predictions.suspected, names)
    few = few[_spread(len(few), _SAMPLE_IMAGES)]
    results.write_samples(
        outcome.workdir,
        {
            plots.file_name(place, classes[labels[number]]): images[number]
            for place, number in enumerate(few)
        },
    )
    return drawn


def _spread(total: int, count: int) -> np.ndarray:
    """Returns so many places from first to last: classes often lie one after another.

    Args:
        total: How many there are.
        count: How many are wanted, at most.
    """
    return np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))


def _answers(model: keras.Model, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features before the classifier, and the probabilities."""
    network = keras.Model(model.input, [model.layers[-1].input, model.output])
    parts = []
    for first in range(0, len(images), _BATCH):
        batch = images[first : first + _BATCH].astype(np.float32)
        # Called directly: `predict` would have every device answer every image.
        outputs = network(batch, training=False)
        parts.append([keras.ops.convert_to_numpy(output) for output in outputs])
    features, probabilities = zip(*parts, strict=True)
    return np.concatenate(features), np.concatenate(probabilities)


def _unlike(
    outcome: Outcome,
    features: np.ndarray,
    seen: tuple[np.ndarray, np.ndarray, np.ndarray],
    names: Sequence[str],
) -> bytes | None:
    """Draws the validation images that are farthest from the training images.

    Args:
        outcome: Of classification.
        features: Of the embedded validation images.
        seen: These images, their labels and their probabilities.
        names: File names of all validation images.

    Returns:
        A PNG; None where training images are not known by number.
    """
    source, model = outcome.source, outcome.model
    bank = unknown.read_bank(source, lambda images: _answers(model, images)[0])
    if bank is None:
        return None
    near = unknown.fit_neighborhood(bank, features, _KEPT)
    cosines = unknown.cosines_to_neighbors(features, near.bank, near.neighbors)
    farthest = np.argsort(cosines, kind="stable")[:_UNLIKE_IMAGES]
    places = _spread(source.validation_examples, _EMBEDDED_IMAGES)[farthest]
    below = int(np.sum(cosines < near.threshold))
    title = f"{below} of {len(cosines)} below a cosine of {near.threshold:.3f}"
    images, labels, probabilities = (rows[farthest] for rows in seen)
    own = [names[place] for place in places]
    return plots.sheet(images, labels, probabilities, source.classes, title, own)


def _suspected(outcome: Outcome, suspected: np.ndarray, names: Sequence[str]) -> bytes:
    """Draws the validation images whose labels are most probably wrong."""
    shown = suspected[:_SUSPECTED_IMAGES]
    images, labels = outcome.source.validation_images(shown)
    _, said = _answers(outcome.model, images)
    title = f"{len(shown)} of {len(suspected):,} labels that are probably wrong"
    own = [names[number] for number in shown]
    return plots.sheet(images, labels, said, outcome.source.classes, title, own)


def _explained(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> bytes:
    _, probabilities = _answers(model, images)
    answers = probabilities.argmax(axis=1)
    cams, slopes = saliency.explain(model, images, answers)
    return insight_plots.explained(
        [
            insight_plots.Explained(
                image, cam, slope, classes[answer], float(row[answer]), classes[label]
            )
            for image, cam, slope, answer, row, label in zip(
                images, cams, slopes, answers, probabilities, labels, strict=True
            )
        ]
    )
