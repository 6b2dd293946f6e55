"""What a finished run leaves: the model, its figures, pictures and the report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import keras
import tensorflow as tf

from . import atomic, network, plots, report
from .evaluate import LEAST_PROBABILITY, Verdicts, evaluate
from .run import Run
from .step import make_evaluation_step

_SHEET_PICTURES = 40
_SAMPLE_PICTURES = 8
# Above this a confusion matrix is unreadable as a picture.
_MOST_CONFUSION_CLASSES = 100


def leave(run: Run, rows: list[dict[str, float]]) -> dict[str, Any]:
    """Writes everything that docs/training.md says is in a workdir.

    The figures are those of the model as it is saved, not of the one that
    learned: float32, with the averaged weights where there are any.

    Args:
        run: A run whose last epoch is done.
        rows: Its history.

    Returns:
        What metrics.json holds; it is written last.
    """
    with run.strategy.scope():
        model = network.deployable(
            run.recipe, run.learner.kept, run.source.preprocessing
        )
    verdicts = _judge(run, model)
    metrics = _metrics(run, model, verdicts, rows)
    if run.cluster.is_chief:
        _write(run, model, verdicts, metrics, rows)
    return metrics


def _write(
    run: Run,
    model: keras.Model,
    verdicts: Verdicts,
    metrics: dict[str, Any],
    rows: list[dict[str, float]],
) -> None:
    workdir = run.workdir
    with atomic.replacing(workdir.model) as partial:
        model.save(partial)
    atomic.write_text(workdir.labels, "".join(f"{c}\n" for c in run.source.classes))
    atomic.write_json(workdir.preprocessing, asdict(run.source.preprocessing))
    pictures = _pictures(run, model, verdicts, rows)
    atomic.write_text(
        workdir.report,
        report.page(run, metrics, rows, verdicts, pictures),
    )
    atomic.write_json(workdir.metrics, metrics)


def _judge(run: Run, model: keras.Model) -> Verdicts:
    def forward(images: tf.Tensor) -> tf.Tensor:
        return tf.math.log(tf.maximum(model(images, training=False), LEAST_PROBABILITY))

    return evaluate(
        run.held_back(),
        make_evaluation_step(forward, run.strategy),
        run.collected,
        len(run.source.classes),
    )


def _metrics(
    run: Run, model: keras.Model, verdicts: Verdicts, rows: list[dict[str, float]]
) -> dict[str, Any]:
    best = max(rows, key=lambda row: row["val_accuracy"], default=None)
    return {
        "top1": verdicts.top1,
        "top5": verdicts.top5,
        "loss": verdicts.loss,
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
    }


def _pictures(
    run: Run, model: keras.Model, verdicts: Verdicts, rows: list[dict[str, float]]
) -> dict[str, bytes]:
    """Draws the pictures, writes them, and returns them by file name."""
    images, labels = run.source.sample_images(_SHEET_PICTURES)
    # Called directly: `predict` would have every device answer every picture.
    answers = model(tf.constant(images, tf.float32), training=False)
    probabilities = keras.ops.convert_to_numpy(answers)
    classes = run.source.classes
    drawn = {
        "curves.png": plots.curves(rows),
        "predictions.png": plots.sheet(images, labels, probabilities, classes),
    }
    if len(classes) <= _MOST_CONFUSION_CLASSES:
        drawn["confusion.png"] = plots.confusion(verdicts.confusion(), classes)
    folder = run.workdir.pictures
    for name, png in drawn.items():
        with atomic.replacing(folder / name) as partial:
            partial.write_bytes(png)
    samples = folder / "samples"
    samples.mkdir(exist_ok=True)
    atomic.remove_partial(samples)
    for number in range(min(_SAMPLE_PICTURES, len(images))):
        name = plots.file_name(number, classes[labels[number]])
        with atomic.replacing(samples / name) as partial:
            partial.write_bytes(tf.io.encode_png(images[number]).numpy())
    return drawn
