"""What is drawn of a finished run, and the images that it leaves as files."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from ..evaluation.metrics import Predictions
from ..inference import saliency
from . import insight_plots, plots, results
from .outcome import Outcome

_SHEET_IMAGES = 40
_SAMPLE_IMAGES = 8
_EMBEDDED_IMAGES = 225
_EXPLAINED_IMAGES = 6
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
