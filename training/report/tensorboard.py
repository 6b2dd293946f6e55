"""What TensorBoard shows of a run: its figures, and a profile of some steps."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


class Summaries(keras.callbacks.Callback):
    """Writes every figure of every epoch where TensorBoard finds it.

    Args:
        folder: For the event files; `tensorboard --logdir` takes it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._writer = tf.summary.create_file_writer(str(folder))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        with self._writer.as_default():
            for name, value in (logs or {}).items():
                tf.summary.scalar(name, value, step=epoch + 1)
        try:
            self._writer.flush()
        except tf.errors.ResourceExhaustedError as error:
            full = errno.ENOSPC
            raise OSError(full, os.strerror(full), str(self.folder)) from error


class Profile(keras.callbacks.Callback):
    """Records what the devices do during some steps of this session.

    Args:
        folder: For the recording; TensorBoard's profile plugin shows it.
        first: The first step recorded, from 1.
        last: The last one.
    """

    def __init__(self, folder: Path, first: int, last: int) -> None:
        super().__init__()
        self.folder = folder
        self.first = first
        self.last = last
        self._step = 0
        self._running = False

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._step += 1
        if self._step == self.first:
            tf.profiler.experimental.start(str(self.folder))
            self._running = True

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self._step == self.last:
            self._stop()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._running:
            tf.profiler.experimental.stop()
            self._running = False


def parse_steps(text: str) -> tuple[int, int]:
    """Reads `--profile_steps`: "10,20" is from the tenth to the twentieth.

    Raises:
        ValueError: It is not two whole numbers, the first at least 1 and the second
            no less.
    """
    parts = text.split(",")
    if len(parts) == 2 and all(part.strip().isdecimal() for part in parts):
        first, last = (int(part) for part in parts)
        if 1 <= first <= last:
            return first, last
    raise ValueError(
        "--profile_steps takes the first and the last step, such as 10,20; got "
        f"{text!r}"
    )
