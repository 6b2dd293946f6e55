"""A number an image: learned in units of its deviation, told in its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_convnext.inference.outputs import NUMBER_LAYER

from ..data.source import Source
from ..evaluation import number_metrics
from ..evaluation.number_metrics import Standard, standard_of
from ..recipes.metric import METRICS
from ..recipes.recipe import Recipe
from ..report import number_html
from . import classification
from .task import Evaluation, Measure, Rows

if TYPE_CHECKING:
    import tensorflow as tf

    from ..data.pipeline import WorkerShard


def huber_loss(targets: Any, outputs: Any) -> Any:
    """Returns each image's Huber loss, `(batch,)`; linear from an error of 1 on."""
    errors = ops.abs(outputs - targets)
    return ops.where(errors < 1.0, 0.5 * errors**2, errors - 0.5)


def squared_loss(targets: Any, outputs: Any) -> Any:
    """Returns each image's squared error, `(batch,)`."""
    return (outputs - targets) ** 2


LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "huber": huber_loss,
    "mse": squared_loss,
}


def find_standard(source: Source) -> Standard:
    """Returns mean and deviation of the training images' numbers."""
    return standard_of(getattr(source.training, "labels"))  # noqa: B009


def training_batches(
    source: Source, recipe: Recipe, share: WorkerShard, epoch: int, start_batch: int
) -> tf.data.Dataset:
    """Returns batches (images uint8, numbers in deviations from their mean)."""
    from ..data.graphs import as_written  # TensorFlow's

    standard = find_standard(source)
    batches = classification.training_batches(source, recipe, share, epoch, start_batch)
    return batches.map(
        as_written(
            lambda images, numbers: (images, (numbers - standard.mean) / standard.scale)
        )
    )


def build_training_model(recipe: Recipe, source: Source) -> keras.Model:
    """Builds the model that learns; it gives a number in deviations from the mean.

    Raises:
        ValueError: The recipe's fields make no model.
    """
    return classification.make_training_model(recipe, source, outputs=1)


def build_inference_model(
    recipe: Recipe, trained: keras.Model, source: Source
) -> keras.Model:
    """Builds the model that `model.keras` holds: a number in its own unit."""
    inner = classification.make_inference_model(recipe, trained, source, None)
    standard = find_standard(source)
    in_unit = keras.layers.Rescaling(
        standard.scale, standard.mean, dtype="float32", name=NUMBER_LAYER
    )
    return keras.Model(inner.input, in_unit(inner.output), name=inner.name)


def make_losses(recipe: Recipe, source: Source) -> Measure:
    """Returns a function from outputs `(batch, 1)` and numbers to "loss".

    Args:
        recipe: Its `loss` is used.
        source: The run's.
    """

    def losses_of(outputs: Any, numbers: Any) -> Rows:
        found = ops.squeeze(ops.cast(outputs, "float32"), axis=1)
        return {"loss": LOSSES[recipe.loss](numbers, found)}

    return losses_of


def measure(outputs: Any, numbers: Any) -> Rows:
    """Returns the rows for `evaluate`, from the training model's `(batch, 1)`."""
    found = ops.squeeze(ops.cast(outputs, "float32"), axis=1)
    return {"labels": numbers, "standardized": found}


def measure_inference(outputs: Any, numbers: Any) -> Rows:
    """Returns the rows for `evaluate`, from numbers in their own unit."""
    found = ops.squeeze(ops.cast(outputs, "float32"), axis=1)
    return {"labels": numbers, "numbers": found}


def evaluate(rows: Iterable[Rows], source: Source) -> Evaluation:
    """Returns MAE, RMSE and R2; the answers are its details."""
    predictions = number_metrics.gathered(rows, find_standard(source))
    figures = predictions.figures()
    return Evaluation(figures=figures, metrics=figures, details=predictions)


REGRESSION = replace(
    classification.CLASSIFICATION,
    name="regression",
    metric=METRICS["number"][0],
    training_batches=training_batches,
    build_training_model=build_training_model,
    build_inference_model=build_inference_model,
    make_losses=make_losses,
    measure=measure,
    measure_inference=measure_inference,
    evaluate=evaluate,
    write_report=number_html.write,
)
