"""The steps of a run under Keras' JAX backend.

tf.data reads and changes the images, as under TensorFlow, and JAX computes; images of
an array that fit stay on the devices instead (`in_memory`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import keras

from keras_convnext._messages import UsageError, say

from ..data.source import Source
from ..engine import first_step, pretrained, step_results
from ..engine.run import Check, Run, TakeEpoch
from ..recipes.recipe import Recipe
from ..tasks.task import Measure, Rows, Task
from . import evaluation, in_memory, step, stream
from .devices import Spread, local

# A power cut costs at most this much of an epoch that takes hours.
_CHECKPOINT_SECONDS = 900.0
# Epochs in memory may take less than writing a checkpoint does.
_CHECKPOINT_SECONDS_IN_MEMORY = 60.0


@dataclass
class JaxBackend:
    """Devices that share a batch, and this process among those that train together.

    Attributes:
        spread: The devices.
        checkpoint_seconds: The end of every epoch of a stream has a checkpoint.
    """

    spread: Spread
    checkpoint_seconds: float = 0.0

    @property
    def replicas(self) -> int:
        """Devices that share a batch."""
        return self.spread.count

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.spread.cluster.is_chief

    def describe(self) -> str:
        """Returns the devices in a few words."""
        return self.spread.describe()

    def scope(self) -> AbstractContextManager[Any]:
        """Returns a context that changes nothing."""
        return contextlib.nullcontext()

    def any_worker(self, flag: bool) -> bool:
        """Returns True if the flag is set in any process; all get the same answer."""
        return self.spread.any_worker(flag)

    def check_memory(self, recipe: Recipe, classes: int = 0) -> str | None:
        """Returns a line where processors may have too little memory for a step.

        Args:
            recipe: The run's.
            classes: Of the data; 0 as long as they are not known.

        Raises:
            UsageError: They have too little by far.
        """
        is_of_processors = self.spread.mesh.devices.flat[0].platform == "cpu"
        if self.spread.cluster.workers > 1 or not is_of_processors:
            return None
        return first_step.check_memory(recipe, self.replicas, classes)

    def load(
        self, task: Task, data: str, recipe: Recipe, skip_bad_images: bool
    ) -> Source:
        """Returns the data, made as the recipe's weights are used to."""
        source = self._load(task, data, recipe, skip_bad_images)
        if in_memory.takes(recipe, source):
            self.checkpoint_seconds = _CHECKPOINT_SECONDS_IN_MEMORY
        return source

    def _load(
        self, task: Task, data: str, recipe: Recipe, skip_bad_images: bool
    ) -> Source:
        if not has_tensorflow():
            return in_memory.load(data, recipe)
        source = task.load(data, recipe, skip_bad_images)
        tight = self.check_memory(recipe, len(source.classes))
        if tight:
            say(tight)
        return pretrained.match_preprocessing(source, recipe)

    def make_epoch(self, run: Run) -> TakeEpoch:
        """Returns a function that takes the steps that the run's epoch still has."""
        make = partial(
            step.make_train_step,
            run.train_state,
            run.task.make_losses(run.recipe, run.source),
            run.recipe,
            self.spread,
            model_inputs=run.task.model_inputs,
            teacher=run.teacher,
        )
        if in_memory.takes(run.recipe, run.source):
            head = make(trains=run.task.is_head)
            return in_memory.make_epoch(run, self.spread, make(), head)
        return self._make_streamed_epoch(run, make)

    def _make_streamed_epoch(
        self, run: Run, make: Callable[..., step.Step]
    ) -> TakeEpoch:
        compiled = {
            is_frozen: jax.jit(each, donate_argnums=0, out_shardings=self.spread.whole)
            for is_frozen, each in ((False, make()), (True, make(run.task.is_head)))
        }

        def take_epoch(listeners: keras.callbacks.CallbackList, check: Check) -> None:
            taking = _Taking(
                run,
                self.spread,
                compiled[run.progress.epoch < run.recipe.frozen_epochs],
            )
            run.settle = taking.settle
            batches = stream.training(run, self.spread.spread, self.spread.cluster)
            with contextlib.closing(batches):
                while True:
                    taking.take(batches, listeners)
                    if run.progress.batch == run.steps_per_epoch:
                        break
                    check()
                    if run.seconds_since_saved() > _CHECKPOINT_SECONDS:
                        run.save()
            taking.settle()
            run.settle = lambda: None

        return take_epoch

    def make_evaluation(
        self, run: Run, model: keras.Model, measure: Measure
    ) -> Callable[[Check], Iterator[Rows]]:
        """Returns a function that gives the rows of every validation example."""
        if in_memory.takes(run.recipe, run.source):
            pixels = in_memory.on_devices(run.source.validation, self.spread)
            return evaluation.in_memory(run, model, measure, self.spread, pixels)
        make = evaluation.singly if run.task.evaluates_singly else evaluation.of_stream
        return make(run, model, measure, self.spread)


class _Taking:
    """The steps of an epoch that is under way; what they change lies on the devices.

    Args:
        run: The run.
        spread: Its devices.
        step: Compiled.
    """

    def __init__(self, run: Run, spread: Spread, step_of_run: step.Step) -> None:
        self.run = run
        self.spread = spread
        self.step = step_of_run
        self.state = step.state_of(run.train_state, spread)
        self.constants = step.constants_of(run.train_state, spread, run.teacher)
        self.rate = run.train_state.rate.value if run.train_state.rate else None

    def settle(self) -> None:
        """Gives the train state's variables what the steps have made of them."""
        step.put_back(self.run.train_state, self.state)

    def take(
        self, batches: Iterator[Any], listeners: keras.callbacks.CallbackList
    ) -> None:
        """Takes some steps, and then looks at each of them."""
        run = self.run
        left = run.steps_per_epoch - run.progress.batch
        count = min(run.recipe.steps_per_call, left)
        listeners.on_train_batch_begin(run.progress.batch)
        self._see_rate()
        began, waited, told = time.monotonic(), [], []
        try:
            for _ in range(count):
                asked = time.monotonic()
                images, truth = next(batches)
                waited.append(time.monotonic() - asked)
                self.state, sums = self.step(self.state, self.constants, images, truth)
                told.append(sums)
            results = [
                {name: float(local(value)) for name, value in sums.items()}
                for sums in told
            ]
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise UsageError(first_step.out_of_memory(run.recipe)) from error
        seconds = (time.monotonic() - began) / count
        for number, result in enumerate(results):
            if number:
                listeners.on_train_batch_begin(run.progress.batch)
            result["waited"] = waited[number]
            step_results.note(run, result, seconds, listeners)

    def _see_rate(self) -> None:
        """Takes in a learning rate that a callback has set."""
        rate = self.run.train_state.rate
        if rate is not None and rate.value != self.rate:
            self.rate = rate.value
            self.constants["rate"] = self.spread.copy([rate.fixed.value])


def has_tensorflow() -> bool:
    """Returns True if TensorFlow, which reads the images of a stream, is installed."""
    return importlib.util.find_spec("tensorflow") is not None


def check(recipe: Recipe, data: str) -> None:
    """Makes sure that a recipe asks for nothing that is not here.

    Raises:
        UsageError: It does; all of it is named.
    """
    if recipe.precision == "mixed_float16":
        raise UsageError(
            "precision=mixed_float16 is not supported with the JAX backend, which has "
            "no loss scale: --set precision=mixed_bfloat16, which needs none, or unset "
            "KERAS_BACKEND and train with TensorFlow"
        )
    if recipe.task == "detection":
        raise UsageError(
            "task=detection is not supported with the JAX backend: unset KERAS_BACKEND "
            "and train with TensorFlow"
        )
    needed = in_memory.what_needs_a_stream(recipe, data)
    if needed and not has_tensorflow():
        raise UsageError(
            f"TensorFlow is not installed, and it reads the images for "
            f"{', '.join(needed)}: pip install tensorflow, or change that with --set"
        )
