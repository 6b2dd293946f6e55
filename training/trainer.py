"""The training loop: epochs of steps, evaluation, checkpoints, and how it stops."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from keras_convnext import optimizers

from . import network
from .checkpoints import Checkpoints, Position
from .console import Interrupted, Mistake, say
from .evaluate import Verdicts, evaluate
from .recipes import Recipe
from .step import Learner, StepSettings, make_evaluation_step, make_train_step
from .stopping import StopRequest
from .workdir import Workdir

# A power cut costs at most this much of an epoch that takes hours.
_CHECKPOINT_SECONDS = 900.0


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
        position: Where the run is.
    """

    recipe: Recipe
    source: Any
    workdir: Workdir
    strategy: tf.distribute.Strategy
    learner: Learner
    checkpoints: Checkpoints
    position: Position = field(default_factory=Position)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that one epoch takes."""
        return self.source.steps_per_epoch(self.recipe.global_batch)


def prepare(
    recipe: Recipe,
    source: Any,
    workdir: Workdir,
    strategy: tf.distribute.Strategy,
    trainable: Callable[..., keras.Model] = network.trainable,
) -> Run:
    """Builds the network and the optimizer, and finds the newest checkpoint.

    Args:
        recipe: The run's numbers.
        source: The data, a `training.data.Source`.
        workdir: The run's folder, already claimed.
        strategy: What to spread the work by.
        trainable: Builds the network, as `network.trainable` does.

    Raises:
        Mistake: The recipe makes no network, or does not fit the devices.
    """
    replicas = strategy.num_replicas_in_sync
    parts = replicas * recipe.accumulation_steps
    if recipe.global_batch % parts:
        fitting = max(recipe.global_batch // parts, 1) * parts
        raise Mistake(
            f"global_batch={recipe.global_batch} cannot be shared evenly by {replicas} "
            f"devices in {recipe.accumulation_steps} parts each; "
            f"--set global_batch={fitting}"
        )
    steps = recipe.epochs * source.steps_per_epoch(recipe.global_batch)
    with strategy.scope():
        learner = make_learner(recipe, source, steps, trainable)
    checkpoints = Checkpoints(
        workdir.checkpoints, kept_variables(learner), recipe.keep_checkpoints
    )
    run = Run(recipe, source, workdir, strategy, learner, checkpoints)
    restored = run.checkpoints.restore()
    if restored is not None:
        run.position, notices = restored
        for notice in notices:
            say(notice)
    return run


def make_learner(
    recipe: Recipe,
    source: Any,
    steps: int,
    trainable: Callable[..., keras.Model] = network.trainable,
) -> Learner:
    """Builds what learns; to be called in the strategy's scope.

    Args:
        recipe: The run's numbers.
        source: The data.
        steps: Steps of the whole run.
        trainable: Builds the network, as `network.trainable` does.

    Raises:
        Mistake: The recipe's fields make no network.
    """
    try:
        model = trainable(recipe, len(source.classes), source.preprocessing)
    except (ValueError, OSError) as error:
        raise Mistake(f"recipe {recipe.name}: {error}") from error
    averaged = None
    if recipe.ema_decay is not None:
        averaged = keras.models.clone_model(model)
        averaged.set_weights(model.get_weights())
    warmup_steps = round(recipe.warmup_epochs * steps / recipe.epochs)
    schedule = optimizers.WarmupCosine(
        recipe.scaled_lr,
        total_steps=steps,
        warmup_steps=min(warmup_steps, steps - 1),
        min_lr=recipe.min_lr,
    )
    optimizer = optimizers.LayerwiseAdamW(
        schedule,
        weight_decay=recipe.weight_decay,
        beta_1=recipe.beta_1,
        beta_2=recipe.beta_2,
        groups=optimizers.parameter_groups(
            model, recipe.layer_decay, recipe.layer_assignment
        ),
    )
    optimizer.build(model.trainable_variables)
    return Learner(model, optimizer, averaged)


def kept_variables(learner: Learner) -> dict[str, Any]:
    """Returns all that the next step depends on, by names that never change.

    The states of seed generators go by number: Keras names them after how many
    the process has made before.
    """
    weights = {id(variable) for variable in learner.model.weights}
    seeds = [v for v in learner.model.variables if id(v) not in weights]
    kept = {f"model/{variable.path}": variable for variable in learner.model.weights}
    kept |= {f"seed/{number}": variable for number, variable in enumerate(seeds)}
    kept |= {f"optimizer/{v.path}": v for v in learner.optimizer.variables}
    if learner.averaged is not None:
        kept |= {f"average/{v.path}": v for v in learner.averaged.weights}
    return kept


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
    held_back = distributed(run, run.source.evaluation(run.recipe.global_batch))
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
            verdicts = evaluate(held_back, judge, run.strategy, len(run.source.classes))
            logs = _figures(run, totals, verdicts)
            listeners.on_epoch_end(epoch, logs)
            _finish_epoch(run, totals, verdicts)
            if run.learner.model.stop_training:
                break
            if stop.signal and run.position.epoch < run.recipe.epochs:
                raise _interrupted(run, stop)
    listeners.on_train_end()


def distributed(run: Run, dataset: tf.data.Dataset) -> Iterable[Any]:
    """Returns a data set whose batches come in one part for each device."""
    return run.strategy.experimental_distribute_dataset(dataset)


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
        if stop.signal:
            run.checkpoints.save(run.position)
            raise _interrupted(run, stop)
        if time.monotonic() - saved_at > _CHECKPOINT_SECONDS:
            run.checkpoints.save(run.position)
            saved_at = time.monotonic()
    return totals


def _batches(run: Run) -> Iterator[tuple[int, Any]]:
    dataset = run.source.train(
        run.recipe.global_batch,
        epoch=run.position.epoch,
        seed=run.recipe.seed,
        augment=run.recipe.augmentation,
        start_batch=run.position.batch,
    )
    yield from enumerate(distributed(run, dataset), start=run.position.batch)


def _advance(run: Run, batch: int, totals: Totals) -> None:
    before = run.position
    run.position = Position(
        epoch=before.epoch,
        batch=batch + 1,
        step=before.step + 1,
        totals=vars(totals).copy(),
        seconds=before.seconds,
        score=before.score,
    )


def _finish_epoch(run: Run, totals: Totals, verdicts: Verdicts) -> None:
    run.position = Position(
        epoch=run.position.epoch + 1,
        step=run.position.step,
        seconds=run.position.seconds + totals.seconds,
        score=verdicts.top1,
    )
    run.checkpoints.save(run.position)


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


def _interrupted(run: Run, stop: StopRequest) -> Interrupted:
    """Returns the word to go with; everything has been saved."""
    return Interrupted(
        f"stopped after step {run.position.step} (epoch {run.position.epoch + 1} of "
        f"{run.recipe.epochs}); everything is saved. The same command goes on from "
        "here.",
        stop.exit_code,
    )
