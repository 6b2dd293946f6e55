"""Classification: an image has one label, or shares of several where it is mixed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

import keras_convnext
from keras_convnext._messages import say

from ..data import class_balance
from ..data.class_sampling import EqualClasses
from ..data.source import Source
from ..evaluation import label_errors
from ..evaluation.metrics import TOP, gathered
from ..recipes.metric import METRICS
from ..recipes.recipe import Recipe
from ..report import plots, results
from ..report.outcome import Outcome
from . import batches, losses
from .task import Evaluation, Measure, Rows, Task

if TYPE_CHECKING:
    import tensorflow as tf

    from ..data.pipeline import WorkerShard


def load(data: str, recipe: Recipe, skip_bad_images: bool) -> Source:
    """Returns labeled images.

    Args:
        data: What `--data` says.
        recipe: Its size, split, seed and `class_balance` are used.
        skip_bad_images: Leave unreadable images out instead of refusing.

    Raises:
        DataError: The data cannot be used; says all that is wrong.
    """
    from ..data import loading  # TensorFlow's decoders, which JAX does without

    source = loading.load(
        data,
        size_px=recipe.size_px,
        validation_share=recipe.validation_share,
        seed=recipe.seed,
        skip_bad_images=skip_bad_images,
        target=recipe.target,
        folds=recipe.folds,
        fold=recipe.fold,
    )
    class_balance.check(source, recipe.class_balance)
    return source


def training_batches(
    source: Source, recipe: Recipe, share: WorkerShard, epoch: int, start_batch: int
) -> tf.data.Dataset:
    """Returns batches (images uint8, labels), as `Source.train` has them."""
    if recipe.class_balance == "sampling":
        labels = np.asarray(getattr(source.training, "labels"))  # noqa: B009
        source = replace(source, training=EqualClasses(source.training, labels))
    return batches.training_batches(
        source, recipe, share, epoch, start_batch, recipe.augmentation
    )


def build_training_model(recipe: Recipe, source: Source) -> keras.Model:
    """Builds the model that learns; it gives logits.

    Raises:
        ValueError: The recipe's fields make no model.
    """
    return make_training_model(recipe, source, len(source.classes))


def make_training_model(recipe: Recipe, source: Source, outputs: int) -> keras.Model:
    """Builds a model that learns, with any number of linear outputs.

    Args:
        recipe: The run's.
        source: The run's.
        outputs: How many.
    """
    return _build(
        recipe,
        outputs,
        source,
        weights=recipe.weights,
        classifier_activation=None,
        stochastic_depth_rate=recipe.stochastic_depth_rate,
        dropout_rate=recipe.dropout_rate,
        head_init_scale=recipe.head_init_scale,
        dtype=recipe.precision,
    )


def build_inference_model(
    recipe: Recipe, trained: keras.Model, source: Source
) -> keras.Model:
    """Builds the model that `model.keras` holds.

    Probabilities instead of logits, float32 whatever the training's precision,
    and nothing in it that is only for training.

    Args:
        recipe: The run's.
        trained: A model of `build_training_model`, whose weights it gets.
        source: The run's.
    """
    return make_inference_model(recipe, trained, source, "softmax")


def make_inference_model(
    recipe: Recipe, trained: keras.Model, source: Source, activation: str | None
) -> keras.Model:
    """Builds a model for inference with any activation of its outputs.

    Args:
        recipe: The run's.
        trained: A model of `build_training_model`, whose weights it gets.
        source: The run's.
        activation: What its outputs are made by.
    """
    model = _build(
        recipe,
        trained.output_shape[-1],
        source,
        weights=None,
        classifier_activation=activation,
        dtype="float32",
    )
    model.set_weights(trained.get_weights())
    return model


def _build(
    recipe: Recipe, classes: int, source: Source, **arguments: Any
) -> keras.Model:
    if recipe.layer_scale_init_value is not None:
        arguments["layer_scale_init_value"] = recipe.layer_scale_init_value
    return keras_convnext.create(
        recipe.variant,
        input_shape=(recipe.size_px, recipe.size_px, 3),
        classes=classes,
        patch_size=recipe.patch_size,
        preprocessing=source.preprocessing,
        seed=recipe.seed,
        **arguments,
    )


def is_head(path: str) -> bool:
    """Returns True if the variable of that path learns while the backbone is frozen.

    The last norm and the classifier: what layer-wise rates count as the last layer.
    """
    return path.split("/")[-2].startswith("head_")


def make_losses(recipe: Recipe, source: Source) -> Measure:
    """Returns a function from logits and labels to "loss" and "accuracy".

    Args:
        recipe: Its `loss`, `label_smoothing`, `target_threshold` and `class_balance`
            are used.
        source: Its training labels are counted where they are to be weighed.
    """
    smoothing, threshold = recipe.label_smoothing, recipe.target_threshold
    weights = None
    if recipe.class_balance == "weights":
        weights = class_balance.class_weights(source)

    def losses_of(outputs: Any, labels: Any) -> Rows:
        logits = ops.cast(outputs, "float32")
        targets = losses.soft_targets(labels, logits.shape[-1], smoothing)
        correct = ops.argmax(logits, axis=1) == ops.argmax(targets, axis=1)
        factors: Any = None
        if weights is not None:
            shares, factors = losses.weigh_classes(labels, weights)
            targets = losses.soft_targets(shares, logits.shape[-1], smoothing)
        desired = losses.apply_threshold(targets, threshold)
        loss = losses.LOSSES[recipe.loss](desired, logits)
        return {
            "loss": loss if factors is None else factors * loss,
            "accuracy": ops.cast(correct, "float32"),
        }

    return losses_of


def measure(outputs: Any, labels: Any) -> Rows:
    """Returns the rows for `evaluate`, from logits `(batch, classes)`."""
    return _rows(ops.log_softmax(outputs), labels)


def measure_inference(outputs: Any, labels: Any) -> Rows:
    """Returns the rows for `evaluate`, from probabilities `(batch, classes)`."""
    rows = _rows(losses.log_probabilities(outputs), labels)
    if outputs.shape[-1] <= label_errors.MOST_CLASSES:
        rows["probabilities"] = ops.cast(outputs, "float32")
    return rows


def _rows(scores: Any, labels: Any) -> Rows:
    """Returns the most probable classes, the confidence and the loss of each image."""
    scores = ops.cast(scores, "float32")
    values, top = ops.top_k(scores, k=min(TOP, scores.shape[-1]))
    losses = -ops.take_along_axis(scores, ops.expand_dims(labels, 1), axis=1)
    return {
        "labels": labels,
        "top": top,
        "confidence": ops.exp(values[:, 0]),
        "losses": ops.squeeze(losses, axis=1),
    }


def evaluate(rows: Iterable[Rows], source: Source) -> Evaluation:
    """Returns accuracies, loss and calibration; the predictions are its details.

    Where the rows have probabilities, and these fit into memory, the images whose
    labels are probably wrong are among them.
    """
    images, classes = source.validation_examples, len(source.classes)
    said: list[np.ndarray] = []
    some = _without_probabilities(rows, said, label_errors.fits(images, classes))
    predictions = gathered(some, classes)
    errors = {}
    if said:
        found = label_errors.find(predictions.labels, np.concatenate(said))
        predictions = replace(predictions, suspected=found)
        errors = {"suspected_labels": len(found)}
    return Evaluation(
        figures={
            "loss": predictions.loss,
            "accuracy": predictions.top1,
            "top5": predictions.top5,
        },
        metrics={
            "top1": predictions.top1,
            "top5": predictions.top5,
            "loss": predictions.loss,
            "mean_class_accuracy": predictions.mean_class_accuracy(),
            "calibration_error": predictions.calibration_error(),
            **errors,
        },
        details=predictions,
    )


def _without_probabilities(
    rows: Iterable[Rows], said: list[np.ndarray], keep: bool
) -> Iterator[Rows]:
    """Yields the rows without their probabilities, and keeps these if wanted."""
    for some in rows:
        if keep and "probabilities" in some:
            said.append(some["probabilities"])
        yield {name: some[name] for name in some if name != "probabilities"}


def write_report(outcome: Outcome) -> None:
    """Writes tables, drawings and, where TensorFlow is there, the page."""
    source, workdir = outcome.source, outcome.workdir
    predictions = outcome.details
    names = results.image_names(source)
    results.write_validation(workdir, names, source.classes, predictions)
    if predictions.suspected is None:
        say(label_errors.too_many(len(predictions.labels), len(source.classes)))
    else:
        rows = label_errors.rows(
            predictions.suspected, predictions, source.classes, names
        )
        label_errors.write(workdir.label_errors, rows)
    drawn = {"curves.png": plots.curves(outcome.history)}
    if len(source.classes) <= plots.MOST_CONFUSION_CLASSES:
        drawn["confusion.png"] = plots.confusion(
            predictions.confusion(), source.classes
        )
    if importlib.util.find_spec("tensorflow") is None:  # which reads the images
        results.write_images(workdir, drawn)
        return
    from ..report import figures, html

    drawn |= figures.draw(outcome, names)
    results.write_images(workdir, drawn)
    html.write(outcome, drawn, names)


CLASSIFICATION = Task(
    name="classification",
    metric=METRICS["label"][0],
    load=load,
    training_batches=training_batches,
    validation_batches=batches.validation_batches,
    build_training_model=build_training_model,
    build_inference_model=build_inference_model,
    is_head=is_head,
    make_losses=make_losses,
    measure=measure,
    measure_inference=measure_inference,
    evaluate=evaluate,
    write_report=write_report,
)
