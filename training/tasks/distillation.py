"""Knowledge distillation: a student learns what a teacher makes of the same images.

Source: arXiv:1503.02531; for images of the same crop, arXiv:2106.05237; of features,
arXiv:2205.14141.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
from keras import ops

from keras_convnext.initializers import EmptyKernel, fill

from ..data.source import Source
from ..recipes.recipe import Recipe
from .task import Measure, Rows, Task

# The layer whose inputs are a classifier's features.
_CLASSIFIER = "head_dense"
# The linear layer from a student's features to its teacher's, in training alone. By its
# name it learns with the head.
PROJECTION = "head_projection"
# Where a feature's error counts by its size and no longer by its square, in deviations
# of the teacher's features. Source: arXiv:2205.14141, section 3.
_BETA = 2.0
_EPSILON = 1e-6
_DEVIATION = 0.02


def distillation_loss(teacher_logits: Any, logits: Any, temperature: float) -> Any:
    """Returns each image's divergence of a student from its teacher, `(batch,)`.

    T² KL(p || q), of the teacher's probabilities p and the student's q, both softened
    by the temperature T. The gradient of the logits is T (q - p), about as large for
    every temperature.

    Args:
        teacher_logits: `(batch, classes)`.
        logits: Of the student, `(batch, classes)`.
        temperature: T, above 0.
    """
    wanted = ops.log_softmax(teacher_logits / temperature)
    given = ops.log_softmax(logits / temperature)
    divergence = ops.sum(ops.exp(wanted) * (wanted - given), axis=-1)
    return temperature**2 * divergence


def feature_loss(teacher_features: Any, projected: Any) -> Any:
    """Returns each image's distance of a student's features from its teacher's.

    The mean over the channels of the smooth L1 loss, `(batch,)`. The teacher's features
    are normalized first, over each image's channels to mean 0 and variance 1, so that
    the loss is as large for every teacher: at most 0.25 of a student that predicts 0.
    Source: arXiv:2205.14141, section 3, "whitening" and equation 1.

    Args:
        teacher_features: `(batch, channels)`.
        projected: What the student's linear layer gives, `(batch, channels)`.
    """
    features = ops.cast(teacher_features, "float32")
    centered = features - ops.mean(features, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centered), axis=-1, keepdims=True)
    wanted = centered * ops.rsqrt(variance + _EPSILON)
    errors = ops.abs(ops.cast(projected, "float32") - wanted)
    losses = ops.where(
        errors < _BETA, 0.5 / _BETA * ops.square(errors), errors - 0.5 * _BETA
    )
    return ops.mean(losses, axis=-1)


def with_teacher(losses: Measure, weight: float, temperature: float) -> Measure:
    """Returns losses that take (truth, the teacher's logits) for truth.

    Args:
        losses: Of the truth alone.
        weight: Share of the distillation in the loss; the rest is that of the truth.
        temperature: Of the distillation.
    """

    def losses_of(outputs: Any, truth: Any) -> Rows:
        truth, teacher_logits = truth
        logits = ops.cast(outputs, "float32")
        distilled = distillation_loss(teacher_logits, logits, temperature)
        return _mixed(losses(outputs, truth), distilled, weight)

    return losses_of


def with_feature_teacher(losses: Measure, weight: float) -> Measure:
    """Returns losses that take (truth, the teacher's features) for truth.

    They take (logits, projected features) for outputs.

    Args:
        losses: Of logits and the truth alone.
        weight: Share of the distillation in the loss; the rest is that of the truth.
    """

    def losses_of(outputs: Any, truth: Any) -> Rows:
        logits, projected = outputs
        truth, teacher_features = truth
        distilled = feature_loss(teacher_features, projected)
        return _mixed(losses(logits, truth), distilled, weight)

    return losses_of


def _mixed(rows: Rows, distilled: Any, weight: float) -> Rows:
    return {
        **rows,
        "loss": (1.0 - weight) * rows["loss"] + weight * distilled,
        "distillation_loss": distilled,
    }


def add_projection(
    model: keras.Model, features: Any, channels: int, seed: int, *before: Any
) -> keras.Model:
    """Returns a model with a new last output: features by a linear layer.

    Args:
        model: A student.
        features: Of it, a symbolic tensor `(batch, channels)`.
        channels: Of the teacher's features.
        seed: Of the layer's kernel, which begins as a ConvNeXt's do.
        *before: Outputs that come before it.
    """
    projected = keras.layers.Dense(
        channels,
        kernel_initializer=EmptyKernel(0.0, _DEVIATION, seed),
        dtype="float32",
        name=PROJECTION,
    )(features)
    outputs = [*before, projected] if before else projected
    projecting = keras.Model(model.input, outputs, name=model.name)
    fill(projecting, (f"{PROJECTION}/kernel",))
    return projecting


def learn_from(task: Task, recipe: Recipe, teacher: keras.Model) -> Task:
    """Returns a task whose losses are told what a teacher makes of the images, too.

    Args:
        task: The recipe's.
        recipe: Its fields of distillation are used.
        teacher: From images to what the recipe distills.
    """
    kind = recipe.distillation if recipe.task == "classification" else recipe.task
    return _LEARNING[kind](task, recipe, teacher)


def _from_logits(task: Task, recipe: Recipe, teacher: keras.Model) -> Task:
    def make_losses(recipe: Recipe, source: Source) -> Measure:
        return with_teacher(
            task.make_losses(recipe, source),
            recipe.distillation_weight,
            recipe.distillation_temperature,
        )

    del recipe, teacher
    return replace(task, make_losses=make_losses)


def _from_features(task: Task, recipe: Recipe, teacher: keras.Model) -> Task:
    """Returns a classifier's task whose training model has projected features, too."""
    channels = teacher.output_shape[-1]

    def build_training_model(recipe: Recipe, source: Source) -> keras.Model:
        model = task.build_training_model(recipe, source)
        features = model.get_layer(_CLASSIFIER).input
        return add_projection(model, features, channels, recipe.seed, model.output)

    def build_inference_model(
        recipe: Recipe, trained: keras.Model, source: Source
    ) -> keras.Model:
        answering = keras.Model(trained.input, trained.outputs[0])
        return task.build_inference_model(recipe, answering, source)

    def make_losses(recipe: Recipe, source: Source) -> Measure:
        plain = task.make_losses(recipe, source)
        return with_feature_teacher(plain, recipe.distillation_weight)

    del recipe
    return replace(
        task,
        build_training_model=build_training_model,
        build_inference_model=build_inference_model,
        make_losses=make_losses,
        measure=lambda outputs, truth: task.measure(outputs[0], truth),
    )


def _from_features_alone(task: Task, recipe: Recipe, teacher: keras.Model) -> Task:
    """Returns a task without labels whose evaluation asks the teacher, too."""
    channels = teacher.output_shape[-1]

    def build_training_model(recipe: Recipe, source: Source) -> keras.Model:
        encoder = task.build_training_model(recipe, source)
        return add_projection(encoder, encoder.output, channels, recipe.seed)

    def beside_teacher(student: keras.Model) -> keras.Model:
        images = keras.Input(student.input_shape[1:], dtype="float32")
        answers = [each(images, training=False) for each in (student, teacher)]
        return keras.Model(images, answers)

    del recipe
    return replace(
        task, build_training_model=build_training_model, evaluated_model=beside_teacher
    )


_LEARNING: dict[str, Callable[[Task, Recipe, keras.Model], Task]] = {
    "logits": _from_logits,
    "features": _from_features,
    "feature_distillation": _from_features_alone,
}
