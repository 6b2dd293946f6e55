"""The training loop: epochs of steps, evaluation, checkpoints, and how it stops."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from . import distribution, learner, network
from .checkpoints import Checkpoints, Position
from .cluster import Cluster
from .console import Interrupted, Mistake, say
from .evaluate import Verdicts, evaluate
from .learner import Learner
from .recipe import Recipe
from .step import StepSettings, make_evaluation_step, make_train_step
from .stopping import StopRequest
from .workdir import Workdir

# A power cut costs at most this much of an epoch that takes hours.
_CHECKPOINT_SECONDS = 900.0
ALONE = Cluster()


@dataclass
class Totals:
    """Sums over the steps of an epoch that is under way."""

    loss: float = 0.0
    correct: float = 0.0
    steps: float = 0.0
    images: float = 0.0
    seconds: float = 0.0


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

    def save(self) -> None:
        """Writes a checkpoint; the chief does, for all workers."""
        seconds = self.seconds_before + time.monotonic() - self.began
        self.position = replace(self.position, seconds=seconds)
        if self.cluster.is_chief:
            self.checkpoints.save(self.position)


def prepare(
    recipe: Recipe,
    source: Any,
    workdir: Workdir,
    strategy: tf.distribute.Strategy,
    trainable: Callable[..., keras.Model] = network.trainable,
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
        Mistake: The recipe makes no network, or does not fit the devices.
    """
    replicas = strategy.num_replicas_in_sync
    parts = replicas * recipe.accumulation_steps
    if recipe.global_batch % parts:
        fitting = max(recipe.global_batch // parts, 1) * parts
        raise Mistake(
            f"global_batch={recipe.global_batch} cannot be shared evenly: devices "
            f"{replicas}, accumulation_steps {recipe.accumulation_steps}; "
            f"--set global_batch={fitting}"
        )
    steps = recipe.epochs * source.steps_per_epoch(recipe.global_batch)
    with strategy.scope():
        learning = learner.make(recipe, source, steps, trainable)
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
        for notice in notices if cluster.is_chief else ():
            say(notice)
    return run


def train(run: Run, callbacks: Sequence[keras.callbacks.Callback] = ()) -> None:
    """Goes on with a run until its last epoch is done.

    Args:
        run: From `prepare`.
        callbacks: Ordinary Keras callbacks. `on_epoch_end` gets "loss",
            "accuracy", "val_loss", "val_accuracy", "val_top5", "learning_rate",
            "seconds" and "images_per_second". `model.stop_training` is heeded.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; a checkpoint has been written.
        Mistake: The loss is no longer a number, or the disk is full.
    """
    step = make_train_step(
        run.learner,
        StepSettings(
            global_batch=run.recipe.global_batch,
            classes=len(run.source.classes),
            label_smoothing=run.recipe.label_smoothing,
            clip_norm=run.recipe.clip_norm,
            ema_decay=run.recipe.ema_decay,
            accumulation_steps=run.recipe.accumulation_steps,
        ),
        run.strategy,
    )
    kept = run.learner.kept
    judge = make_evaluation_step(
        lambda images: tf.nn.log_softmax(kept(images, training=False)), run.strategy
    )
    held_back = run.held_back()
    listeners = keras.callbacks.CallbackList(
        list(callbacks),
        model=run.learner.model,
        epochs=run.recipe.epochs,
        steps=run.steps_per_epoch,
    )
    run.learner.model.stop_training = False
    listeners.on_train_begin()
    with StopRequest() as stop:
        while run.position.epoch < run.recipe.epochs:
            epoch = run.position.epoch
            listeners.on_epoch_begin(epoch)
            totals = _epoch(run, step, listeners, stop)
            verdicts = evaluate(
                held_back, judge, run.collected, len(run.source.classes)
            )
            logs = _figures(run, totals, verdicts)
            listeners.on_epoch_end(epoch, logs)
            _finish_epoch(run, verdicts)
            if run.learner.model.stop_training:
                break
            if run.position.epoch < run.recipe.epochs and _stopping(run, stop):
                raise _interrupted(run, stop)
    listeners.on_train_end()


def _epoch(
    run: Run, step: Any, listeners: keras.callbacks.CallbackList, stop: StopRequest
) -> Totals:
    """Takes the steps that an epoch still has, and returns the sums over all."""
    totals = Totals(**run.position.totals)
    saved_at = started = time.monotonic()
    seconds_before = totals.seconds
    for batch, (images, labels) in _batches(run):
        listeners.on_train_batch_begin(batch)
        results = {name: float(value) for name, value in step(images, labels).items()}
        _check_finite(run, batch, results)
        totals.loss += results["loss"]
        totals.correct += results["correct"]
        totals.steps += 1
        totals.images += run.recipe.global_batch
        totals.seconds = seconds_before + time.monotonic() - started
        listeners.on_train_batch_end(batch, {"loss": totals.loss / totals.steps})
        _advance(run, batch, totals)
        if run.position.batch == run.steps_per_epoch:
            break
        if _stopping(run, stop):
            run.save()
            raise _interrupted(run, stop)
        if time.monotonic() - saved_at > _CHECKPOINT_SECONDS:
            run.save()
            saved_at = time.monotonic()
    return totals


def _batches(run: Run) -> Iterator[tuple[int, Any]]:
    def share(worker: int, workers: int) -> tf.data.Dataset:
        return run.source.train(
            run.recipe.global_batch,
            epoch=run.position.epoch,
            seed=run.recipe.seed,
            augment=run.recipe.augmentation,
            start_batch=run.position.batch,
            worker=worker,
            workers=workers,
        )

    batches = distribution.spread(share, run.strategy, run.cluster)
    yield from enumerate(batches, start=run.position.batch)


def _advance(run: Run, batch: int, totals: Totals) -> None:
    run.position = replace(
        run.position,
        batch=batch + 1,
        step=run.position.step + 1,
        totals=vars(totals).copy(),
        # Of other weights than these.
        score=None,
    )


def _finish_epoch(run: Run, verdicts: Verdicts) -> None:
    run.position = replace(
        run.position,
        epoch=run.position.epoch + 1,
        batch=0,
        totals={},
        score=verdicts.top1,
    )
    run.save()


def _figures(run: Run, totals: Totals, verdicts: Verdicts) -> dict[str, float]:
    schedule = run.learner.optimizer.learning_rate
    return {
        "loss": totals.loss / totals.steps,
        "accuracy": totals.correct / totals.images,
        "val_loss": verdicts.loss,
        "val_accuracy": verdicts.top1,
        "val_top5": verdicts.top5,
        "learning_rate": float(keras.ops.convert_to_numpy(schedule)),
        "seconds": totals.seconds,
        "images_per_second": totals.images / max(totals.seconds, 1e-9),
    }


def _check_finite(run: Run, batch: int, results: dict[str, float]) -> None:
    """Raises Mistake where the loss or its gradient is no longer a number."""
    for name in ("loss", "gradient_norm"):
        if not math.isfinite(results[name]):
            raise Mistake(
                f"the {name.replace('_', ' ')} is {results[name]} at step "
                f"{run.position.step + 1} (epoch {run.position.epoch + 1}, batch "
                f"{batch + 1}); the checkpoints in {run.checkpoints.folder} are from "
                "before. Try a lower peak_lr, a longer warmup_epochs or clip_norm=1 in "
                "a new --workdir"
            )


def _stopping(run: Run, stop: StopRequest) -> bool:
    """Returns whether any worker has been asked to stop; all get the same answer."""
    asked = stop.signal is not None
    return distribution.any_worker(asked, run.strategy, run.cluster)


def _interrupted(run: Run, stop: StopRequest) -> Interrupted:
    """Returns the word to go with; everything has been saved."""
    return Interrupted(
        f"stopped after step {run.position.step} (epoch {run.position.epoch + 1} of "
        f"{run.recipe.epochs}); everything is saved. The same command goes on from "
        "here.",
        stop.exit_code,
    )
