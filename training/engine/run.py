"""One run: its parts, where it is, and how it begins or resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_convnext._messages import say

from ..recipes.recipe import Recipe
from ..workdir.checkpoints import Checkpoints, TrainProgress
from ..workdir.layout import Workdir
from . import distribution, first_step, model, train_state
from .cluster import Cluster
from .train_state import TrainState

ALONE = Cluster()


@dataclass
class Run:
    """One run under way.

    Attributes:
        recipe: Its numbers.
        source: Its data, a `training.data.Source`.
        workdir: Where it leaves everything.
        strategy: What it is spread by.
        train_state: What learns.
        checkpoints: Of the train state.
        cluster: This process among those that train together.
        progress: Where the run is.
        seconds_before: Time spent in earlier sessions.
        began: When this session began, as `time.monotonic` has it.
    """

    recipe: Recipe
    source: Any
    workdir: Workdir
    strategy: tf.distribute.Strategy
    train_state: TrainState
    checkpoints: Checkpoints
    cluster: Cluster = ALONE
    progress: TrainProgress = field(default_factory=TrainProgress)
    seconds_before: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that one epoch takes."""
        return self.source.steps_per_epoch(self.recipe.global_batch)

    def validation_batches(self) -> Iterable[Any]:
        """Returns the evaluation batches, a part for each device."""

        def share(worker: int, workers: int) -> tf.data.Dataset:
            return self.source.validation_batches(
                self.recipe.global_batch, worker=worker, workers=workers
            )

        return distribution.distribute(share, self.strategy, self.cluster)

    def collected(self, value: Any) -> np.ndarray:
        """Returns the parts of a value on all devices, as one array."""
        return distribution.gather(value, self.strategy, self.cluster)

    def put_back_best(self) -> int:
        """Gives the train state the weights of the best epoch.

        Returns:
            The epoch that they are from, counted from 1.
        """
        # Wait for the chief: it may still be writing the last checkpoint.
        distribution.any_worker(False, self.strategy, self.cluster)
        best = self.checkpoints.best()
        if best is None:
            return self.progress.epoch
        return self.checkpoints.put_back(best).epoch

    def save(self) -> None:
        """Writes a checkpoint; the chief does, for all workers."""
        seconds = self.seconds_before + time.monotonic() - self.began
        rate = self.train_state.rate
        self.progress = replace(
            self.progress,
            seconds=seconds,
            learning_rate=None if rate is None else rate.value,
        )
        if self.cluster.is_chief:
            self.checkpoints.save(self.progress)


def prepare(
    recipe: Recipe,
    source: Any,
    workdir: Workdir,
    strategy: tf.distribute.Strategy,
    trainable: Callable[..., keras.Model] = model.build_training_model,
    cluster: Cluster = ALONE,
) -> Run:
    """Builds the network and the optimizer, and finds the newest checkpoint.

    Args:
        recipe: The run's numbers.
        source: The data, a `training.data.Source`.
        workdir: The run's folder, already claimed.
        strategy: What to spread the work by.
        trainable: Builds the network, as `network.trainable` does.
        cluster: This process among those that train together.

    Raises:
        UsageError: The recipe makes no network, or does not fit the devices.
    """
    larger = first_step.check_batch(
        recipe, source.train_examples, strategy.num_replicas_in_sync
    )
    if larger and cluster.is_chief:
        say(larger)
    steps = recipe.epochs * source.steps_per_epoch(recipe.global_batch)
    with strategy.scope():
        learning = train_state.make(recipe, source, steps, trainable)
    checkpoints = Checkpoints(
        workdir.checkpoints, learning.variables(), recipe.keep_checkpoints
    )
    if cluster.is_chief:
        checkpoints.tidy()
    run = Run(recipe, source, workdir, strategy, learning, checkpoints, cluster)
    restored = run.checkpoints.restore()
    if restored is not None:
        run.progress, notices = restored
        run.seconds_before = run.progress.seconds
        if learning.rate is not None:
            learning.rate.set(run.progress.learning_rate)
        for notice in notices if cluster.is_chief else ():
            say(notice)
    return run
