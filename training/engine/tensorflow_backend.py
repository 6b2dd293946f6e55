"""The steps of a run on TensorFlow, on every device of a strategy at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from keras_convnext._messages import UsageError, say

from ..data.source import Source
from ..recipes.recipe import Recipe
from ..tasks.task import Measure, Rows, Task
from . import distribution, first_step, pretrained, step_results
from .cluster import ALONE, Cluster
from .data_problems import too_few, unreadable
from .run import Check, Run, TakeEpoch
from .shares import training_share, validation_share
from .step import StepSettings, make_evaluation_step, make_train_step
from .step_loop import make_step_loop

# A power cut costs at most this much of an epoch that takes hours.
_CHECKPOINT_SECONDS = 900.0
# Gradients that overflow float16 even so are not a matter of scale.
_LEAST_LOSS_SCALE = 2.0**-10


@dataclass(frozen=True)
class TensorFlowBackend:
    """A strategy and this process among those that train together.

    Attributes:
        strategy: What the work is spread by.
        cluster: This process among those that train together.
        checkpoint_seconds: The end of every epoch has a checkpoint.
    """

    strategy: tf.distribute.Strategy
    cluster: Cluster = ALONE
    checkpoint_seconds: float = 0.0

    @property
    def replicas(self) -> int:
        """Devices that share a batch."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.cluster.is_chief

    def describe(self) -> str:
        """Returns the devices in a few words."""
        return distribution.describe(self.strategy)

    def scope(self) -> AbstractContextManager[Any]:
        """Returns a context in which variables are made on every device."""
        scope: AbstractContextManager[Any] = self.strategy.scope()
        return scope

    def any_worker(self, flag: bool) -> bool:
        """Returns True if the flag is set on any worker; all get the same answer."""
        return distribution.any_worker(flag, self.strategy, self.cluster)

    def check_memory(self, recipe: Recipe, classes: int = 0) -> str | None:
        """Returns a line where processors may have too little memory for a step.

        Args:
            recipe: The run's.
            classes: Of the data; 0 as long as they are not known.

        Raises:
            UsageError: They have too little by far.
        """
        if self.cluster.workers > 1 or not distribution.is_of_processors(self.strategy):
            return None
        return first_step.check_memory(recipe, self.replicas, classes)

    def load(
        self, task: Task, data: str, recipe: Recipe, skip_bad_images: bool
    ) -> Source:
        """Returns the data, made as the recipe's weights are used to."""
        source = task.load(data, recipe, skip_bad_images)
        tight = self.check_memory(recipe, len(source.classes))
        if tight:
            say(tight)
        return pretrained.match_preprocessing(source, recipe)

    def make_epoch(self, run: Run) -> TakeEpoch:
        """Returns a function that takes the steps that the run's epoch still has."""
        settings = StepSettings(
            global_batch=run.recipe.global_batch,
            clip_norm=run.recipe.clip_norm,
            ema_decay=run.recipe.ema_decay,
            accumulation_steps=run.recipe.accumulation_steps,
        )
        make = partial(
            make_train_step,
            run.train_state,
            run.task.make_losses(run.recipe, run.source),
            settings,
            self.strategy,
            model_inputs=run.task.model_inputs,
            teacher=run.teacher,
        )
        whole = make_step_loop(make(), self.strategy)
        head = make_step_loop(make(run.task.is_head), self.strategy)

        def take_epoch(listeners: keras.callbacks.CallbackList, check: Check) -> None:
            is_frozen = run.progress.epoch < run.recipe.frozen_epochs
            batches = iter(self._spread(partial(training_share, run)))
            while True:
                _call(run, head if is_frozen else whole, batches, listeners)
                if run.progress.batch == run.steps_per_epoch:
                    return
                check()
                if run.seconds_since_saved() > _CHECKPOINT_SECONDS:
                    run.save()

        return take_epoch

    def make_evaluation(
        self, run: Run, model: keras.Model, measure: Measure
    ) -> Callable[[Check], Iterator[Rows]]:
        """Returns a function that gives the rows of every validation example."""
        step = make_evaluation_step(
            model, measure, self.strategy, run.task.model_inputs
        )
        spread = self._spread_singly if run.task.evaluates_singly else self._spread
        batches = spread(partial(validation_share, run))

        def evaluate(check: Check) -> Iterator[Rows]:
            for images, truth, weights in batches:
                rows = step(images, truth)
                is_real = self._collected(weights) > 0
                yield {
                    name: self._collected(values)[is_real]
                    for name, values in rows.items()
                }
                check()

        return evaluate

    def _spread(self, share: Callable[[int, int], tf.data.Dataset]) -> Iterable[Any]:
        return distribution.distribute(share, self.strategy, self.cluster)

    def _spread_singly(self, share: Callable[..., tf.data.Dataset]) -> Iterable[Any]:
        one_each = partial(share, global_batch=self.replicas)
        return distribution.distribute_singly(one_each, self.strategy, self.cluster)

    def _collected(self, value: Any) -> Any:
        return distribution.gather(value, self.strategy, self.cluster)


def _call(
    run: Run,
    take: Callable[[Any, tf.Tensor], dict[str, tf.Tensor]],
    batches: Iterator[Any],
    listeners: keras.callbacks.CallbackList,
) -> None:
    """Takes some steps in one call, and then looks at each of them."""
    left = run.steps_per_epoch - run.progress.batch
    count = min(run.recipe.steps_per_call, left)
    listeners.on_train_batch_begin(run.progress.batch)
    began = time.monotonic()
    try:
        results = {
            name: values.numpy()
            for name, values in take(batches, tf.constant(count)).items()
        }
    except tf.errors.OutOfRangeError as error:
        raise UsageError(too_few(run)) from error
    except tf.errors.ResourceExhaustedError as error:
        raise UsageError(first_step.out_of_memory(run.recipe)) from error
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
        if "IteratorGetNext" not in str(error):
            raise
        raise UsageError(unreadable(run, count, error)) from error
    seconds = (time.monotonic() - began) / count
    for number in range(count):
        if number:
            listeners.on_train_batch_begin(run.progress.batch)
        result = {name: float(values[number]) for name, values in results.items()}
        step_results.note(run, result, seconds, listeners, _must_be_finite(run))


def _must_be_finite(run: Run) -> tuple[str, ...]:
    """Returns what must be a number of a step."""
    scale = run.train_state.loss_scale
    if scale is not None and scale.factor.numpy() > _LEAST_LOSS_SCALE:
        # The step was not taken, and the next one is with half the factor.
        return ("loss",)
    return step_results.FINITE
