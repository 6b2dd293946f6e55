"""This library's UPerNet as it is built; its training step is the application's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

import keras_convnext
from contestants import with_keras
from contestants.keras_convnext_plain import step_of, versions
from training.recipes import resolve
from training.tasks import SEGMENTATION

__all__ = ["build", "prepare", "versions"]


def build(case: dict[str, Any]) -> keras.Model:
    """Returns the case's model with random weights."""
    size = case["size_px"]
    model = keras_convnext.UPerNet(
        case["model"].removeprefix("upernet_"),
        case["classes"],
        input_shape=(size, size, 3),
        dtype=case["precision"],
    )
    with_keras.randomise(model)
    return model


def training(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns a function that takes one step of the training application."""
    built = build(case)
    model = keras.Model(built.input, [built.output, built.auxiliary])
    shape = (case["batch"], case["size_px"], case["size_px"])
    masks = tf.random.uniform(shape, 0, case["classes"], dtype=tf.int32, seed=0)
    return step_of(SEGMENTATION, resolve("upernet_tiny_ade20k"), model, case, masks)


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    if case["work"] == "training":
        return training(case)
    return with_keras.inference(build(case), case)
