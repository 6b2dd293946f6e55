"""The figures of a finished run, and its model as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import keras

from keras_convnext import _files

from ..evaluation.metrics import Predictions
from ..workdir.layout import Workdir


def metrics(
    run: Any,
    model: keras.Model,
    predictions: Predictions,
    rows: Sequence[dict[str, float]],
    kept_epoch: int,
) -> dict[str, Any]:
    """Returns the contents of metrics.json.

    Args:
        run: A `run.Run` or a `jax_run.Run` whose last epoch is done.
        model: As it is saved.
        predictions: What it says of the validation images.
        rows: The history.
        kept_epoch: The epoch that its weights are from, counted from 1.
    """
    best = max(rows, key=lambda row: row["val_accuracy"], default=None)
    return {
        "top1": predictions.top1,
        "top5": predictions.top5,
        "loss": predictions.loss,
        "mean_class_accuracy": predictions.mean_class_accuracy(),
        "calibration_error": predictions.calibration_error(),
        "train_examples": run.source.train_examples,
        "eval_examples": run.source.validation_examples,
        "skipped_examples": len(run.source.skipped),
        "classes": len(run.source.classes),
        "parameters": model.count_params(),
        "epochs": run.progress.epoch,
        "steps": run.progress.step,
        "train_seconds": round(run.progress.seconds, 1),
        "best_epoch": int(best["epoch"]) if best else None,
        "best_top1": best["val_accuracy"] if best else None,
        "kept_epoch": kept_epoch,
    }


def write_model(workdir: Workdir, model: keras.Model, source: Any) -> None:
    """Writes the model, the names of its classes, and how it sees an image.

    Args:
        workdir: Of the run.
        model: With probabilities as outputs.
        source: The run's images: their `classes` and `preprocessing` are used.
    """
    with _files.replacing(workdir.model) as partial:
        model.save(partial)
    workdir.write_labels(source.classes)
    _files.write_json(workdir.preprocessing, asdict(source.preprocessing))


def image_names(source: Any) -> tuple[str, ...]:
    """Returns the file names of the validation images, in order.

    Args:
        source: The run's images. Those that keep no names are called by number.
    """
    validation = source.validation
    names = validation.names() if hasattr(validation, "names") else ()
    return names or tuple(map(str, range(source.validation_examples)))


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
