"""What a finished run leaves: the model, its figures, images and the report."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_convnext import _files

from ..engine import model as network
from ..engine.run import Run
from ..engine.step import make_evaluation_step
from ..evaluation.metrics import LEAST_PROBABILITY, Predictions, evaluate
from . import figures, html, results


def write_outputs(run: Run, rows: list[dict[str, float]]) -> dict[str, Any]:
    """Writes everything that docs/training.md says is in a workdir.

    The figures are those of the model as it is saved, not of the one that
    learned: float32, with the averaged weights where there are any.

    Args:
        run: A run whose last epoch is done.
        rows: Its history.

    Returns:
        What metrics.json holds; it is written last.
    """
    kept_epoch = run.progress.epoch
    if run.recipe.keep == "best":
        kept_epoch = run.put_back_best()
    with run.strategy.scope():
        model = network.build_inference_model(
            run.recipe, run.train_state.eval_model, run.source.preprocessing
        )
    predictions = _evaluate_model(run, model)
    metrics = results.metrics(run, model, predictions, rows, kept_epoch)
    if run.cluster.is_chief:
        _write(run, model, predictions, metrics, rows)
    return metrics


def _write(
    run: Run,
    model: keras.Model,
    predictions: Predictions,
    metrics: dict[str, Any],
    rows: list[dict[str, float]],
) -> None:
    workdir = run.workdir
    results.write_model(workdir, model, run.source)
    names = results.image_names(run.source)
    results.write_validation(workdir, names, run.source.classes, predictions)
    images = figures.write_figures(run, model, predictions, rows, names)
    _files.write_text(
        workdir.report,
        html.page(run, metrics, rows, predictions, images, names),
    )
    _files.write_json(workdir.metrics, metrics)


def _evaluate_model(run: Run, model: keras.Model) -> Predictions:
    def forward(images: tf.Tensor) -> tf.Tensor:
        return tf.math.log(tf.maximum(model(images, training=False), LEAST_PROBABILITY))

    return evaluate(
        run.validation_batches(),
        make_evaluation_step(forward, run.strategy),
        run.collected,
        len(run.source.classes),
    )
