"""Several training steps in one call, so that the devices never wait for Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

_FIGURES = ("loss", "correct", "gradient_norm", "waited")


def make_step_loop(
    train_step: Callable[[Any, Any], dict[str, tf.Tensor]],
    strategy: tf.distribute.Strategy,
) -> Callable[[Any, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns a function that takes some steps, one after another.

    It is called with an iterator over distributed batches and with how many steps to
    take, an int32 scalar. It returns what `train_step` does, and "waited", the seconds
    until the batch was there; each is float32 `(steps,)`.

    Args:
        train_step: From `step.make_train_step`.
        strategy: What the batches are spread by.
    """

    def one_step(batches: Any) -> dict[str, tf.Tensor]:
        asked = tf.timestamp()
        with tf.control_dependencies([asked]):
            images, labels = next(batches)
        with tf.control_dependencies(strategy.experimental_local_results(images)):
            arrived = tf.timestamp()
        # A step that began before the clock was read would be taken for waiting: on a
        # single core it is one thread that does both.
        with tf.control_dependencies([arrived]):
            results = train_step(images, labels)
        return {**results, "waited": tf.cast(arrived - asked, tf.float32)}

    @tf.function(autograph=False)
    def take(batches: Any, count: tf.Tensor) -> dict[str, tf.Tensor]:
        def add(number: tf.Tensor, kept: list[Any]) -> tuple[tf.Tensor, list[Any]]:
            results = one_step(batches)
            written = [
                array.write(number, results[name])
                for name, array in zip(_FIGURES, kept, strict=True)
            ]
            return number + 1, written

        arrays = [tf.TensorArray(tf.float32, count) for _ in _FIGURES]
        _, arrays = tf.while_loop(
            lambda number, _: number < count, add, (0, arrays), parallel_iterations=1
        )
        return {
            name: array.stack() for name, array in zip(_FIGURES, arrays, strict=True)
        }

    return take
