"""What the contestants that run in Keras on TensorFlow share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def versions() -> dict[str, str]:
    """Returns the packages' versions."""
    return {"tensorflow": tf.__version__, "keras": keras.__version__}


def randomise(model: keras.Model) -> None:
    """Gives every weight a value that counts.

    At gamma 1e-6, beta 0 and scale 1 a graph optimiser finds work that it can skip.
    """
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        name = variable.path.rpartition("/")[2]
        if len(variable.shape) == 1:
            middle = 0.0 if name in ("bias", "beta") else 0.5
            value = random.uniform(middle - 0.4, middle + 0.4, variable.shape)
            variable.assign(value.astype("float32"))


def images(case: dict[str, Any]) -> tf.Tensor:
    """Returns random images 0..255 `(batch, height, width, 3)`."""
    shape = (case["batch"], *np.broadcast_to(case["size_px"], 2), 3)
    return tf.random.uniform(shape, 0.0, 255.0, seed=0)


def labels(case: dict[str, Any]) -> tf.Tensor:
    """Returns random class numbers `(batch,)`."""
    return tf.random.uniform(
        (case["batch"],), 0, case["classes"], dtype=tf.int32, seed=0
    )


def inference(model: keras.Model, case: dict[str, Any]) -> Callable[[], Any]:
    """Returns a function that takes one batch through a model in a graph."""
    graph = tf.function(
        lambda batch: model(batch, training=False), jit_compile=False, autograph=False
    )
    batch = images(case)
    return lambda: tf.nest.map_structure(np.asarray, graph(batch))
