"""Keras' callbacks in the training loop: what they see, and which cannot work there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_convnext._messages import UsageError

from .train_state import TrainState

# By class name: what to use in their place.
_REFUSED = {
    "BackupAndRestore": "the run's own checkpoints are its backup, and the same "
    "workdir resumes from them",
    "SwapEMAWeights": "--set ema_decay=0.999 keeps the moving average, and callbacks "
    "see it already",
    "OrbaxCheckpoint": "the run's own checkpoints hold its whole state, and "
    "ModelCheckpoint writes the model",
}


class OptimizerOfCallbacks:
    """The optimizer as callbacks see it: its learning rate can be set to a number.

    Args:
        train_state: Whose optimizer.
    """

    def __init__(self, train_state: TrainState) -> None:
        self._train_state = train_state

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next step."""
        return self._train_state.optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if self._train_state.rate is None:
            raise UsageError("this run's learning rate cannot be set by a callback")
        self._train_state.rate.set(float(value))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._train_state.optimizer, name)


def prepare(
    callbacks: Sequence[keras.callbacks.Callback],
    train_state: TrainState,
    epochs: int,
    steps: int,
) -> keras.callbacks.CallbackList:
    """Returns callbacks that are ready to be called.

    Their `model` is the one that is evaluated and kept, the moving average where there
    is one, and its `optimizer` is the train state's.

    Args:
        callbacks: Ordinary Keras callbacks.
        train_state: What learns.
        epochs: Of the run.
        steps: Of an epoch.

    Raises:
        UsageError: One of them cannot work here; the text says what does.
    """
    for callback in callbacks:
        for kind in type(callback).__mro__:
            if kind.__name__ in _REFUSED and kind.__module__.startswith("keras"):
                raise UsageError(
                    f"the callback {kind.__name__} is not supported in this training "
                    f"loop: {_REFUSED[kind.__name__]}"
                )
    model = train_state.eval_model
    model.optimizer = OptimizerOfCallbacks(train_state)
    model.stop_training = False
    return keras.callbacks.CallbackList(
        list(callbacks), model=model, epochs=epochs, steps=steps
    )
