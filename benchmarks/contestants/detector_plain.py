"""This library's Mask R-CNN as it is built; its training step is the application's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

import keras_convnext
from contestants import with_keras
from contestants.keras_convnext_plain import step_of, versions
from contestants.objects import SCALE_OF_CLASSES, truth
from keras_convnext.detection import training_model
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


def training(case: dict[str, Any], **overrides: Any) -> Callable[[], Any]:
    """Returns a function that takes one step of the training application."""
    model = training_model(
        "mask_rcnn",
        case["model"].removeprefix("mask_rcnn_"),
        case["classes"],
        dtype=case["precision"],
        seed=0,
        **overrides,
    )
    with_keras.randomise(model)
    objects = {name: tf.constant(value) for name, value in truth(case).items()}
    return step_of(DETECTION, resolve("mask_rcnn_tiny_coco"), model, case, objects)


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    if case["work"] == "training":
        return training(case)
    return with_keras.inference(build(case), case)
