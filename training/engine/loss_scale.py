"""Keeps the gradients of float16 networks away from zero and from infinity."""

from __future__ import annotations

import keras
import tensorflow as tf

_LARGEST_AT_FIRST = 2.0**15
_STEPS_TO_GROW = 2000


class LossScale:
    """A factor on the loss that grows slowly and is halved where it was too much.

    To be made in the strategy's scope, once.

    Args:
        first: The factor at the start.
        steps_to_grow: Good steps in a row after which it is doubled.

    Attributes:
        factor: Variable, float32 scalar.
        good_steps: Variable, int32 scalar: good steps since it last changed.

    Source: arXiv:1710.03740, section 3.2.
    """

    def __init__(
        self, first: float = _LARGEST_AT_FIRST, steps_to_grow: int = _STEPS_TO_GROW
    ) -> None:
        self.steps_to_grow = steps_to_grow
        self.factor = keras.Variable(
            first,
            trainable=False,
            dtype="float32",
            aggregation="only_first_replica",
            name="factor",
        )
        self.good_steps = keras.Variable(
            0,
            trainable=False,
            dtype="int32",
            aggregation="only_first_replica",
            name="good_steps",
        )

    def variables(self) -> list[keras.Variable]:
        """Returns the variables for the checkpoint."""
        return [self.factor, self.good_steps]

    def note(self, finite: tf.Tensor) -> None:
        """Takes in whether a step's gradient was finite; called on every replica.

        Args:
            finite: bool scalar.
        """
        factor = tf.convert_to_tensor(self.factor)
        good_steps = tf.where(finite, tf.convert_to_tensor(self.good_steps) + 1, 0)
        grows = good_steps >= self.steps_to_grow
        self.factor.assign(
            tf.where(finite, tf.where(grows, factor * 2, factor), factor / 2)
        )
        self.good_steps.assign(tf.where(grows, 0, good_steps))
