"""keras.applications' ConvNeXt, under `tf.function`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from contestants import with_keras
from contestants.with_keras import versions

__all__ = ["prepare", "versions"]

BUILDERS = {
    "convnext_tiny": keras.applications.ConvNeXtTiny,
    "convnext_base": keras.applications.ConvNeXtBase,
}
# The variants that it has no builder for, by the function that its builders call.
SHAPES = {"convnext_atto": ((2, 2, 6, 2), (40, 80, 160, 320))}


def build(case: dict[str, Any], activation: str | None = "softmax") -> keras.Model:
    """Returns the case's model with random weights."""
    size = case["size_px"]
    common = {
        "weights": None,
        "input_shape": (size, size, 3),
        "classes": case["classes"],
        "classifier_activation": activation,
    }
    keras.config.set_dtype_policy(case["precision"])
    if case["model"] in BUILDERS:
        model = BUILDERS[case["model"]](**common)
    else:
        depths, widths = SHAPES[case["model"]]
        module = sys.modules[keras.applications.ConvNeXtTiny.__module__]
        model = module.ConvNeXt(
            depths, widths, name=case["model"], weights_name="", **common
        )
    with_keras.randomise(model)
    return model


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    if case["work"] == "inference":
        return with_keras.inference(build(case), case)
    model = build(case, activation=None)
    optimizer = keras.optimizers.AdamW(1e-4, weight_decay=0.05)
    optimizer.build(model.trainable_variables)
    batch, labels = with_keras.images(case), with_keras.labels(case)

    @tf.function(jit_compile=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = tf.cast(model(batch, training=True), tf.float32)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
        return loss

    return lambda: step().numpy()
