"""The training loop: epochs of steps, evaluation, checkpoints, and how it stops."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from . import distribution
from .console import Interrupted, Mistake
from .evaluate import Verdicts, evaluate
from .run import Run, prepare
from .step import StepSettings, make_evaluation_step, make_train_step
from .stopping import StopRequest

__all__ = ["Run", "Totals", "prepare", "train"]

# A power cut costs at most this much of an epoch that takes hours.
_CHECKPOINT_SECONDS = 900.0
# Gradients that overflow float16 even so are not a matter of scale.
_LEAST_LOSS_SCALE = 2.0**-10


@dataclass
class Totals:
    """Sums over the steps of an epoch that is under way.

    Attributes:
        loss: Of each step's mean loss.
        correct: Pictures whose highest logit was the label's.
        steps: Steps taken.
        images: Pictures seen.
        seconds: Time taken.
        waited: Part of it in which the devices waited for data.
    """

    loss: float = 0.0
    correct: float = 0.0
    steps: float = 0.0
    images: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0


def train(run: Run, callbacks: Sequence[keras.callbacks.Callback] = ()) -> None:
    """Goes on with a run until its last epoch is done.

    Args:
        run: From `prepare`.
        callbacks: Ordinary Keras callbacks. `on_epoch_end` gets "loss",
            "accuracy", "val_loss", "val_accuracy", "val_top5", "learning_rate",
            "seconds", "images_per_second" and "data_wait" (the share of the time in
            which the devices waited for data). `model.stop_training` is heeded.

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
    saved_at = began = time.monotonic()
    for batch, (images, labels) in _batches(run):
        totals.waited += time.monotonic() - began
        listeners.on_train_batch_begin(batch)
        results = {name: float(value) for name, value in step(images, labels).items()}
        _check_finite(run, batch, results)
        totals.loss += results["loss"]
        totals.correct += results["correct"]
        totals.steps += 1
        totals.images += run.recipe.global_batch
        totals.seconds += time.monotonic() - began
        listeners.on_train_batch_end(batch, _progress_of(totals))
        _advance(run, batch, totals)
        if run.position.batch == run.steps_per_epoch:
            break
        if _stopping(run, stop):
            run.save()
            raise _interrupted(run, stop)
        if time.monotonic() - saved_at > _CHECKPOINT_SECONDS:
            run.save()
            saved_at = time.monotonic()
        began = time.monotonic()
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
        "data_wait": _progress_of(totals)["data_wait"],
    }


def _progress_of(totals: Totals) -> dict[str, float]:
    return {
        "loss": totals.loss / totals.steps,
        "data_wait": totals.waited / max(totals.seconds, 1e-9),
    }


def _check_finite(run: Run, batch: int, results: dict[str, float]) -> None:
    """Raises Mistake where the loss or its gradient is no longer a number."""
    names = ["loss", "gradient_norm"]
    scale = run.learner.loss_scale
    if scale is not None and scale.factor.numpy() > _LEAST_LOSS_SCALE:
        # The step was not taken, and the next one is with half the factor.
        names.remove("gradient_norm")
    for name in names:
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
