"""What a finished run leaves: the model, its figures, pictures and the report."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_convnext import _files

from ..engine import model as network
from ..engine.run import Run
from ..engine.step import make_evaluation_step
from ..evaluation.metrics import LEAST_PROBABILITY, Verdicts, evaluate
from . import figures, html, results


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
    metrics = results.metrics(run, model, verdicts, rows, kept_epoch)
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
    results.write_model(workdir, model, run.source)
    names = results.image_names(run.source)
    results.write_validation(workdir, names, run.source.classes, verdicts)
    pictures = figures.leave(run, model, verdicts, rows, names)
    _files.write_text(
        workdir.report,
        html.page(run, metrics, rows, verdicts, pictures, names),
    )
    _files.write_json(workdir.metrics, metrics)


def _judge(run: Run, model: keras.Model) -> Verdicts:
    def forward(images: tf.Tensor) -> tf.Tensor:
        return tf.math.log(tf.maximum(model(images, training=False), LEAST_PROBABILITY))

    return evaluate(
        run.held_back(),
        make_evaluation_step(forward, run.strategy),
        run.collected,
        len(run.source.classes),
    )
