"""One run: its parts, where it is, and how it begins or goes on."""

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
from ..workdir.checkpoints import Checkpoints, Position
from ..workdir.layout import Workdir
from . import distribution, first_step, model, train_state
from .cluster import Cluster
from .train_state import Learner

ALONE = Cluster()


@dataclass
class Run:
    """One run under way.

    Attributes:
        recipe: Its numbers.
        source: Its data, a `training.data.Source`.
        workdir: Where it leaves everything.
        strategy: What it is spread by.
        learner: What learns.
        checkpoints: Of the learner.
        cluster: This process among those that train together.
        position: Where the run is.
        seconds_before: Time spent in earlier sittings.
        began: When this sitting began, as `time.monotonic` has it.
    """

    recipe: Recipe
    source: Any
    workdir: Workdir
    strategy: tf.distribute.Strategy
    learner: Learner
    checkpoints: Checkpoints
    cluster: Cluster = ALONE
    position: Position = field(default_factory=Position)
    seconds_before: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that one epoch takes."""
        return self.source.steps_per_epoch(self.recipe.global_batch)

    def held_back(self) -> Iterable[Any]:
        """Returns the evaluation batches, a part for each device."""

        def share(worker: int, workers: int) -> tf.data.Dataset:
            return self.source.evaluation(
                self.recipe.global_batch, worker=worker, workers=workers
            )

        return distribution.spread(share, self.strategy, self.cluster)

    def collected(self, value: Any) -> np.ndarray:
        """Returns what all devices hold of a value, as one array."""
        return distribution.collected(value, self.strategy, self.cluster)

    def put_back_best(self) -> int:
        """Gives the learner the weights that were judged best.

        Returns:
            The epoch that they are from, counted from 1.
        """
        # Wait for the chief: it may still be writing the last checkpoint.
        distribution.any_worker(False, self.strategy, self.cluster)
        best = self.checkpoints.best()
        if best is None:
            return self.position.epoch
        return self.checkpoints.put_back(best).epoch

    def save(self) -> None:
        """Writes a checkpoint; the chief does, for all workers."""
        seconds = self.seconds_before + time.monotonic() - self.began
        rate = self.learner.rate
        self.position = replace(
            self.position,
            seconds=seconds,
            learning_rate=None if rate is None else rate.value,
        )
        if self.cluster.is_chief:
            self.checkpoints.save(self.position)


def prepare(
    recipe: Recipe,
    source: Any,
    workdir: Workdir,
    strategy: tf.distribute.Strategy,
    trainable: Callable[..., keras.Model] = model.trainable,
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
        run.position, notices = restored
        run.seconds_before = run.position.seconds
        if learning.rate is not None:
            learning.rate.set(run.position.learning_rate)
        for notice in notices if cluster.is_chief else ():
            say(notice)
    return run
