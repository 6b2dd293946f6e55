"""What a finished run leaves as files beside its report."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import keras

from keras_convnext import _files

from ..data.source import Source
from ..evaluation.metrics import Predictions
from ..workdir.layout import Workdir


def write_model(workdir: Workdir, model: keras.Model, source: Source) -> None:
    """Writes the model, the names of its classes, and how it sees an image.

    Args:
        workdir: Of the run.
        model: With probabilities as outputs.
        source: The run's: its `classes` and `preprocessing` are used.
    """
    with _files.replacing(workdir.model) as partial:
        model.save(partial)
    if source.classes:
        workdir.write_labels(source.classes)
    _files.write_json(workdir.preprocessing, asdict(source.preprocessing))


def image_names(source: Source) -> tuple[str, ...]:
    """Returns the file names of the validation images, in order.

    Args:
        source: The run's. Images that keep no names are called by number.
    """
    return source.validation.names() or tuple(
        map(str, range(source.validation_examples))
    )


def write_validation(
    workdir: Workdir,
    names: Sequence[str],
    classes: Sequence[str],
    predictions: Predictions,
) -> None:
    """Writes a row for each validation image: its name, true and predicted class.

    Args:
        workdir: Of the run.
        names: From `image_names`.
        classes: Their names in the order of the labels.
        predictions: What the model as it is saved says of the images, in their order.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("image", "true", "predicted", "probability"))
    answers = zip(
        names,
        predictions.labels,
        predictions.top[:, 0],
        predictions.confidence,
        strict=True,
    )
    for name, label, answer, probability in answers:
        writer.writerow((name, classes[label], classes[answer], f"{probability:.6g}"))
    _files.write_text(workdir.validation, text.getvalue())


def write_images(workdir: Workdir, drawn: Mapping[str, bytes]) -> None:
    """Writes PNGs by their file names."""
    for name, png in drawn.items():
        with _files.replacing(workdir.images / name) as partial:
            partial.write_bytes(png)
