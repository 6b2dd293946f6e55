"""This library's model as its builders give it, under `tf.function`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_convnext
from contestants import with_keras
from keras_convnext import optimizers
from training.engine.step import StepSettings, make_train_step
from training.engine.train_state import TrainState
from training.recipes import resolve
from training.recipes.recipe import Recipe
from training.tasks import CLASSIFICATION
from training.tasks.task import Task

STEPS = 1_000_000


def versions() -> dict[str, str]:
    """Returns the packages' versions."""
    return {
        **with_keras.versions(),
        "keras-convnext": keras_convnext.__version__,
        "numpy": np.__version__,
    }


def build(case: dict[str, Any], **arguments: Any) -> keras.Model:
    """Returns the case's model with random weights."""
    size = case["size_px"]
    model = keras_convnext.create(
        case["model"],
        weights=None,
        input_shape=(size, size, 3),
        classes=case["classes"],
        dtype=case["precision"],
        **arguments,
    )
    with_keras.randomise(model)
    return model


def training(case: dict[str, Any], **arguments: Any) -> Callable[[], Any]:
    """Returns a function that takes one step of the training application."""
    model = build(case, classifier_activation=None, **arguments)
    recipe = resolve("demo", ["label_smoothing=0"])
    return step_of(CLASSIFICATION, recipe, model, case, with_keras.labels(case))


def step_of(
    task: Task, recipe: Recipe, model: keras.Model, case: dict[str, Any], truth: Any
) -> Callable[[], Any]:
    """Returns a function that takes one step of a task's training."""
    optimizer = optimizers.LayerwiseAdamW(
        1e-4, weight_decay=0.05, groups=optimizers.parameter_groups(model)
    )
    optimizer.build(model.trainable_variables)
    step = make_train_step(
        TrainState(model, optimizer),
        task.make_losses(recipe, None),
        StepSettings(global_batch=case["batch"]),
        tf.distribute.get_strategy(),
        model_inputs=task.model_inputs,
    )
    batch = with_keras.images(case)
    return lambda: step(batch, truth)["loss"].numpy()


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    if case["work"] == "training":
        return training(case)
    return with_keras.inference(build(case), case)
