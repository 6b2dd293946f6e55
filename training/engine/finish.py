"""What a finished run leaves: the model, its metrics and the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_convnext import _files

from ..report import results
from ..report.outcome import Outcome
from ..tasks.task import Evaluation
from .run import Run


def leave(run: Run, rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Writes everything that docs/training.md says is in a workdir.

    The metrics are those of the model as it is saved, not of the one that learned:
    float32, with the averaged weights where there are any.

    Args:
        run: A run whose last epoch is done.
        rows: Its history.

    Returns:
        What metrics.json holds; it is written last.
    """
    kept_epoch = run.progress.epoch
    if run.recipe.keep == "best":
        kept_epoch = run.put_back_best()
    with run.backend.scope():
        model = run.task.build_inference_model(
            run.recipe, run.train_state.eval_model, run.source
        )
    evaluate = run.make_evaluation(model, run.task.measure_inference)
    evaluation = evaluate(lambda: None)
    probed = run.make_probe(model)(lambda: None)
    metrics = {**_metrics(run, model, evaluation, rows, kept_epoch), **probed}
    if run.backend.is_chief:
        saved = run.task.saved_model(run.recipe, model)
        results.write_model(run.workdir, saved, run.source)
        run.task.write_report(
            Outcome(
                recipe=run.recipe,
                source=run.source,
                workdir=run.workdir,
                model=model,
                metrics=metrics,
                history=rows,
                details=evaluation.details,
            )
        )
        _files.write_json(run.workdir.metrics, metrics)
    return metrics


def _metrics(
    run: Run,
    model: keras.Model,
    evaluation: Evaluation,
    rows: Sequence[dict[str, float]],
    kept_epoch: int,
) -> dict[str, Any]:
    """Returns the contents of metrics.json."""
    metric = run.task.metric
    figure = metric.column
    taught = {}
    if run.teacher_figures:
        taught = {"teacher_top1": run.teacher_figures["top1"]}
    best = max(rows, key=lambda row: metric.score(row[figure]), default=None)
    return {
        **evaluation.metrics,
        **taught,
        "train_examples": run.source.train_examples,
        "eval_examples": run.source.validation_examples,
        "skipped_examples": len(run.source.skipped),
        "classes": len(run.source.classes),
        "parameters": model.count_params(),
        "epochs": run.progress.epoch,
        "steps": run.progress.step,
        "train_seconds": round(run.progress.seconds, 1),
        "best_epoch": int(best["epoch"]) if best else None,
        f"best_{metric.name}": best[figure] if best else None,
        "kept_epoch": kept_epoch,
    }
