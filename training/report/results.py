"""The figures of a finished run, and its model as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import keras

from keras_convnext import _files

from ..evaluation.metrics import Verdicts
from ..workdir.layout import Workdir


def metrics(
    run: Any,
    model: keras.Model,
    verdicts: Verdicts,
    rows: Sequence[dict[str, float]],
    kept_epoch: int,
) -> dict[str, Any]:
    """Returns what metrics.json holds.

    Args:
        run: A `run.Run` or a `jax_run.Run` whose last epoch is done.
        model: As it is saved.
        verdicts: What it says of the held-back pictures.
        rows: The history.
        kept_epoch: The epoch that its weights are from, counted from 1.
    """
    best = max(rows, key=lambda row: row["val_accuracy"], default=None)
    return {
        "top1": verdicts.top1,
        "top5": verdicts.top5,
        "loss": verdicts.loss,
        "mean_class_accuracy": verdicts.mean_class_accuracy(),
        "calibration_error": verdicts.calibration_error(),
        "train_examples": run.source.train_examples,
        "eval_examples": run.source.eval_examples,
        "skipped_examples": len(run.source.skipped),
        "classes": len(run.source.classes),
        "parameters": model.count_params(),
        "epochs": run.position.epoch,
        "steps": run.position.step,
        "train_seconds": round(run.position.seconds, 1),
        "best_epoch": int(best["epoch"]) if best else None,
        "best_top1": best["val_accuracy"] if best else None,
        "kept_epoch": kept_epoch,
    }


def write_model(workdir: Workdir, model: keras.Model, source: Any) -> None:
    """Writes the model, the names of its classes, and how it sees a picture.

    Args:
        workdir: Of the run.
        model: With probabilities as outputs.
        source: The run's pictures: their `classes` and `preprocessing` are used.
    """
    with _files.replacing(workdir.model) as partial:
        model.save(partial)
    workdir.write_labels(source.classes)
    _files.write_json(workdir.preprocessing, asdict(source.preprocessing))


def image_names(source: Any) -> tuple[str, ...]:
    """Returns the file names of the validation images, in order.

    Args:
        source: The run's pictures. Those that keep no names are called by number.
    """
    held_back = source.held_back
    names = held_back.names() if hasattr(held_back, "names") else ()
    return names or tuple(map(str, range(source.eval_examples)))


def write_validation(
    workdir: Workdir,
    names: Sequence[str],
    classes: Sequence[str],
    verdicts: Verdicts,
) -> None:
    """Writes a row for each validation image: its name, true and predicted class.

    Args:
        workdir: Of the run.
        names: From `image_names`.
        classes: Their names in the order of the labels.
        verdicts: What the model as it is saved says of the images, in their order.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("image", "true", "predicted", "probability"))
    answers = zip(
        names, verdicts.labels, verdicts.top[:, 0], verdicts.confidence, strict=True
    )
    for name, label, answer, probability in answers:
        writer.writerow((name, classes[label], classes[answer], f"{probability:.6g}"))
    _files.write_text(workdir.validation, text.getvalue())
