"""A learning-rate schedule that a callback may put a number in place of."""

from __future__ import annotations

from typing import Any

import keras

_NOT_SET = -1.0


class SettableRate(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule, until a number is set; from then on that number.

    To be made in the strategy's scope, once.

    Args:
        schedule: From a step to its learning rate.

    Attributes:
        fixed: Variable, float32 scalar: the number, negative where none is set.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule):
        super().__init__()
        self.schedule = schedule
        self.fixed = keras.Variable(
            _NOT_SET,
            trainable=False,
            dtype="float32",
            aggregation="only_first_replica",
            name="fixed_learning_rate",
        )

    def __call__(self, step: Any) -> Any:
        fixed = keras.ops.convert_to_tensor(self.fixed)
        return keras.ops.where(fixed < 0, self.schedule(step), fixed)

    @property
    def value(self) -> float | None:
        """The number that was set, None for none."""
        number = float(keras.ops.convert_to_numpy(self.fixed))
        return None if number < 0 else number

    def set(self, value: float | None) -> None:
        """Sets a number, or goes back to the schedule.

        Args:
            value: The learning rate from now on, at least 0, or None.

        Raises:
            ValueError: It is negative or no number.
        """
        if value is not None and not value >= 0:
            raise ValueError(f"A learning rate of {value} cannot be set.")
        self.fixed.assign(_NOT_SET if value is None else value)

    def get_config(self) -> dict[str, Any]:
        return {"schedule": self.schedule}
