"""This library's Mask R-CNN as it is built; its training step is the application's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

import keras_convnext
from contestants import with_keras
from contestants.keras_convnext_plain import versions
from contestants.objects import SCALE_OF_CLASSES, truth
from keras_convnext import optimizers
from keras_convnext.detection import training_model, training_settings
from training.engine.step import StepSettings, make_train_step
from training.engine.train_state import TrainState
from training.recipes import resolve
from training.tasks import DETECTION

__all__ = ["build", "prepare", "versions"]


def build(case: dict[str, Any]) -> keras.Model:
    """Returns the case's model with random weights that find objects."""
    height, width = case["size_px"]
    model = keras_convnext.MaskRCNN(
        case["model"].removeprefix("mask_rcnn_"),
        case["classes"],
        input_shape=(height, width, 3),
        dtype=case["precision"],
        seed=0,
    )
    with_keras.randomise(model)
    classes = model.get_layer("box_logits").kernel
    classes.assign(classes * SCALE_OF_CLASSES)
    return model


def inference(model: keras.Model, case: dict[str, Any]) -> Callable[[], Any]:
    """Returns a function that finds the objects of one batch."""
    graph = tf.function(
        lambda batch: model(batch, training=False), jit_compile=False, autograph=False
    )
    batch = with_keras.images(case)
    return lambda: {name: one.numpy() for name, one in graph(batch).items()}


def training(case: dict[str, Any], **overrides: Any) -> Callable[[], Any]:
    """Returns a function that takes one step of the training application."""
    model = training_model(
        "mask_rcnn",
        case["model"].removeprefix("mask_rcnn_"),
        case["classes"],
        settings=training_settings("mask_rcnn"),
        dtype=case["precision"],
        seed=0,
        **overrides,
    )
    with_keras.randomise(model)
    optimizer = optimizers.LayerwiseAdamW(
        1e-4, weight_decay=0.05, groups=optimizers.parameter_groups(model)
    )
    optimizer.build(model.trainable_variables)
    step = make_train_step(
        TrainState(model, optimizer),
        DETECTION.make_losses(resolve("mask_rcnn_tiny_coco")),
        StepSettings(global_batch=case["batch"]),
        tf.distribute.get_strategy(),
        model_inputs=DETECTION.model_inputs,
    )
    batch = with_keras.images(case)
    objects = {name: tf.constant(value) for name, value in truth(case).items()}
    return lambda: step(batch, objects)["loss"].numpy()


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    if case["work"] == "training":
        return training(case)
    return inference(build(case), case)
