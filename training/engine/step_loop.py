"""Several training steps in one call, so that the devices never wait for Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


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
            images, truth = next(batches)
        with tf.control_dependencies(strategy.experimental_local_results(images)):
            arrived = tf.timestamp()
        # A step that began before the clock was read would be taken for waiting: on a
        # single core it is one thread that does both.
        with tf.control_dependencies([arrived]):
            results = train_step(images, truth)
        return {**results, "waited": tf.cast(arrived - asked, tf.float32)}

    @tf.function(autograph=False)
    def take(batches: Any, count: tf.Tensor) -> dict[str, tf.Tensor]:
        names: list[str] = []

        def add(number: tf.Tensor, kept: Any) -> tuple[tf.Tensor, Any]:
            results = one_step(batches)
            names[:] = results
            return number + 1, kept.write(number, tf.stack(list(results.values())))

        steps = tf.TensorArray(tf.float32, count)
        _, steps = tf.while_loop(
            lambda number, _: number < count, add, (0, steps), parallel_iterations=1
        )
        columns = tf.unstack(steps.stack(), num=len(names), axis=1)
        return dict(zip(names, columns, strict=True))

    return take
