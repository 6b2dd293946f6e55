"""What a finished run leaves: the model, its figures, pictures and the report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import keras
import tensorflow as tf

from . import atomic, drawings, network, report
from .evaluate import LEAST_PROBABILITY, Verdicts, evaluate
from .run import Run
from .step import make_evaluation_step


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
    kept_epoch = run.position.epoch
    if run.recipe.keep == "best":
        kept_epoch = run.put_back_best()
    with run.strategy.scope():
        model = network.deployable(
            run.recipe, run.learner.kept, run.source.preprocessing
        )
    verdicts = _judge(run, model)
    metrics = {**_metrics(run, model, verdicts, rows), "kept_epoch": kept_epoch}
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
    pictures = drawings.leave(run, model, verdicts, rows)
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
    }
