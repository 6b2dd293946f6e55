"""Progress: a bar in a terminal on stderr or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

import keras
import tqdm.auto  # type: ignore[import-untyped]
import tqdm.notebook  # type: ignore[import-untyped]

from keras_convnext._messages import say

from ..recipes.metric import Metric

_REDRAW_SECONDS = 0.2
_LINE_SECONDS = 60.0
# tqdm's own figures count this process' steps alone, not those of the whole run.
_BAR_FORMAT, _NOTEBOOK_FORMAT = "{bar:22}  {desc}", "{bar}  {desc}"
_NOTABLE_WAIT = 0.1
# What an image takes to evaluate, of what it takes to train on: the forward pass alone.
_EVALUATION_SHARE = 1 / 3


class Progress(keras.callbacks.Callback):
    """Shows how far a run is, how fast, and how long it will take.

    Args:
        epochs: Epochs of the whole run.
        steps_per_epoch: Steps of one epoch.
        global_batch: Images a step.
        steps_done: Steps taken before, in earlier sessions.
        stream: Where to write; stderr unless given.
        metric: Of the task, shown beside the loss.
        evaluation_images: How many images an epoch ends with evaluating, by which its
            time is estimated before the first one.
    """

    def __init__(
        self,
        epochs: int,
        steps_per_epoch: int,
        global_batch: int,
        steps_done: int = 0,
        stream: TextIO | None = None,
        metric: Metric | None = None,
        evaluation_images: int = 0,
    ) -> None:
        super().__init__()
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.global_batch = global_batch
        self.steps = steps_done
        self.metric = metric
        self.stream = stream or sys.stderr
        self._bar = _make_bar(steps_per_epoch, self.stream)
        self._epoch = 0
        self._timed_steps = 0
        self._train_seconds = 0.0
        self._evaluation_steps = -(-evaluation_images // global_batch)
        self._evaluation_seconds: float | None = None
        self._last_step = self._last_shown = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._last_step = time.monotonic()
        if not self._timed_steps:
            self._draw(0, "building the graph ...")

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        now = time.monotonic()
        self.steps += 1
        if self._timed_steps:
            # The first step builds the graph; it says nothing about the rest.
            self._train_seconds += now - self._last_step
        self._timed_steps += 1
        self._last_step = now
        pause = _LINE_SECONDS if self._bar.disable else _REDRAW_SECONDS
        if now - self._last_shown >= pause:
            self._last_shown = now
            self._show_step(batch + 1, logs or {})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._evaluation_seconds = time.monotonic() - self._last_step
        words, left = self._epoch_words(), self._time_left(self.epochs - epoch - 1)
        self._bar.clear()
        self._write_line(epoch_line(words, logs or {}, left, self.metric))
        self._last_shown = time.monotonic()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        # A notebook shows a bar that ends before its end in red, and leaves it there.
        self._bar.n = self.steps_per_epoch
        self._bar.close()

    def _show_step(self, batch: int, logs: dict[str, Any]) -> None:
        rate = self.steps_per_second * self.global_batch
        speed = f"{rate:,.0f}" if rate else "-"
        figures = (
            f"{speed} img/s  loss {logs['loss']:.3f}{_wait_words(logs)}"
            f"  {self._time_left(self.epochs - self._epoch)}"
        )
        if self._bar.disable:
            step = f"step {batch}/{self.steps_per_epoch}"
            self._write_line(f"{self._epoch_words()}  {step}  {figures}")
        else:
            self._draw(batch, figures)

    def _draw(self, batch: int, figures: str) -> None:
        if not self._bar.disable:
            self._bar.n = batch
            self._bar.set_description_str(f"{self._epoch_words()}  {figures}")

    def _write_line(self, line: str) -> None:
        self.stream.write(line + "\n")
        self.stream.flush()

    def _epoch_words(self) -> str:
        width = len(str(self.epochs))
        return f"epoch {self._epoch + 1:>{width}}/{self.epochs}"

    @property
    def steps_per_second(self) -> float:
        """Rate of training in this session, the first step left out."""
        steps = max(self._timed_steps - 1, 0)
        return steps / self._train_seconds if self._train_seconds > 0 else 0.0

    def _time_left(self, evaluations: int) -> str:
        """Returns how long the rest takes, evaluations at the ends of epochs included.

        Args:
            evaluations: How many are still to come.
        """
        left = self.epochs * self.steps_per_epoch - self.steps
        if left <= 0 and not evaluations:
            return "done"
        if not self.steps_per_second:
            return "-:-- left"
        each = self._evaluation_seconds
        if each is None:
            each = _EVALUATION_SHARE * self._evaluation_steps / self.steps_per_second
        return f"{clock(left / self.steps_per_second + evaluations * each)} left"


def _make_bar(steps: int, stream: TextIO) -> Any:
    """Returns a bar of an epoch; it draws nothing where neither can show one.

    Args:
        steps: Of an epoch.
        stream: Where a terminal's bar goes; a notebook's goes below its cell.
    """
    kind, form, is_shown = tqdm.tqdm, _BAR_FORMAT, stream.isatty()
    if not is_shown and issubclass(tqdm.auto.tqdm, tqdm.notebook.tqdm_notebook):
        kind, form, is_shown = tqdm.auto.tqdm, _NOTEBOOK_FORMAT, True
    return kind(
        total=steps,
        file=stream,
        disable=not is_shown,
        bar_format=form,
        leave=False,
        delay=_REDRAW_SECONDS,
    )


class EpochLines(keras.callbacks.Callback):
    """Says the figures of every epoch on stdout, for a run that tells of no steps.

    Args:
        epochs: Epochs of the whole run.
        metric: The task's.
    """

    def __init__(self, epochs: int, metric: Metric) -> None:
        super().__init__()
        self.epochs = epochs
        self.metric = metric
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        seconds = (time.monotonic() - self._began) * (self.epochs - epoch - 1)
        words = f"epoch {epoch + 1}/{self.epochs}"
        say(epoch_line(words, logs or {}, f"{clock(seconds)} left", self.metric))


def epoch_line(
    epoch: str, logs: dict[str, Any], left: str, metric: Metric | None = None
) -> str:
    """Returns the log line of a finished epoch.

    Args:
        epoch: Which, "epoch  3/25".
        logs: Its figures, as callbacks get them.
        left: How long the rest will take.
        metric: Of the task, shown beside the loss.
    """
    trained, validation = [f"loss {logs['loss']:.3f}"], []
    # Detectors are not asked for losses of validation images.
    if "val_loss" in logs:
        validation.append(f"val loss {logs['val_loss']:.3f}")
    if metric is not None and metric.figure != "loss":
        if metric.figure in logs:
            trained.append(f"{metric.words} {metric.show(logs[metric.figure], 1)}")
        value = metric.show(logs[f"val_{metric.figure}"])
        validation.append(f"val {metric.words} {value}")
    if "knn_accuracy" in logs:
        validation.append(f"k-NN accuracy {logs['knn_accuracy']:.2%}")
    return (
        f"{epoch}  {'  '.join(trained)}  |  {'  '.join(validation)}"
        f"  |  {logs['images_per_second']:,.0f} img/s{_wait_words(logs)}  {left}"
    )


def _wait_words(logs: dict[str, Any]) -> str:
    """Returns how long the devices wait for data, where that is worth a word."""
    share = logs.get("data_wait", 0.0)
    return f"  waiting for data {share:.0%}" if share > _NOTABLE_WAIT else ""


def clock(seconds: float) -> str:
    """Returns a time span as "1:05" or "2:03:09"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
