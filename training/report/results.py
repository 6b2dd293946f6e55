"""What a finished run leaves as files beside its report."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

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
    answers = zip(
        names,
        predictions.labels,
        predictions.top[:, 0],
        predictions.confidence,
        strict=True,
    )
    rows = (
        (name, classes[label], classes[answer], float(probability))
        for name, label, answer, probability in answers
    )
    write_csv(workdir.validation, ("image", "true", "predicted", "probability"), rows)


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table; a number that there is none of, NaN, stays empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow([_plain(cell) for cell in row])
    _files.write_text(path, text.getvalue())


def _plain(cell: Any) -> str:
    if isinstance(cell, float):
        return "" if np.isnan(cell) else f"{cell:.6g}"
    return str(cell)


def write_images(workdir: Workdir, drawn: Mapping[str, bytes]) -> None:
    """Writes PNGs by their file names."""
    for name, png in drawn.items():
        with _files.replacing(workdir.images / name) as partial:
            partial.write_bytes(png)


def write_samples(workdir: Workdir, images: Mapping[str, np.ndarray]) -> None:
    """Writes images to try the model on, uint8, as PNGs by their file names."""
    import tensorflow as tf

    folder = workdir.images / "samples"
    folder.mkdir(exist_ok=True)
    _files.remove_partial(folder)
    for name, image in images.items():
        with _files.replacing(folder / name) as partial:
            partial.write_bytes(tf.io.encode_png(image).numpy())
