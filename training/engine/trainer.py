"""The training loop: epochs of steps, evaluation, checkpoints, and how it stops."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from keras_convnext._messages import Interrupted, UsageError

from ..evaluation.metrics import Predictions, evaluate
from . import callbacks as callbacks_of_keras
from . import distribution
from .run import Run, prepare
from .step import StepSettings, make_evaluation_step, make_train_step
from .step_loop import make_step_loop
from .stop_signal import StopRequest
from .train_state import is_head

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
        correct: Images whose highest logit was the label's.
        steps: Steps taken.
        images: Images seen.
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
            which the devices waited for data). Their `model` is the one that is
            evaluated, the moving average if there is one. `model.stop_training` and a
            number set as `model.optimizer.learning_rate` are heeded.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; a checkpoint has been written.
        UsageError: The loss is no longer a number, the disk is full, or a callback
            cannot work here.
    """
    listeners = callbacks_of_keras.prepare(
        callbacks, run.train_state, run.recipe.epochs, run.steps_per_epoch
    )
    take, take_frozen = _step_loops(run)
    kept = run.train_state.eval_model
    evaluation_step = make_evaluation_step(
        lambda images: tf.nn.log_softmax(kept(images, training=False)), run.strategy
    )
    validation = run.validation_batches()
    listeners.on_train_begin()
    with StopRequest() as stop:
        while run.progress.epoch < run.recipe.epochs:
            epoch = run.progress.epoch
            listeners.on_epoch_begin(epoch)
            is_frozen = epoch < run.recipe.frozen_epochs
            totals = _epoch(run, take_frozen if is_frozen else take, listeners, stop)
            listeners.on_test_begin()
            predictions = evaluate(
                validation,
                evaluation_step,
                run.collected,
                len(run.source.classes),
                after_batch=functools.partial(_check_stop, run, stop),
            )
            logs = _figures(run, totals, predictions)
            listeners.on_test_end(
                {"loss": predictions.loss, "accuracy": predictions.top1}
            )
            listeners.on_epoch_end(epoch, logs)
            _finish_epoch(run, predictions)
            if kept.stop_training:
                break
            if run.progress.epoch < run.recipe.epochs and _stopping(run, stop):
                raise _interrupted(run, stop)
    listeners.on_train_end()


def _step_loops(run: Run) -> tuple[Any, Any]:
    """Returns the step loops: for all variables, and for the head only."""
    settings = StepSettings(
        global_batch=run.recipe.global_batch,
        classes=len(run.source.classes),
        label_smoothing=run.recipe.label_smoothing,
        loss=run.recipe.loss,
        target_threshold=run.recipe.target_threshold,
        clip_norm=run.recipe.clip_norm,
        ema_decay=run.recipe.ema_decay,
        accumulation_steps=run.recipe.accumulation_steps,
    )
    whole = make_train_step(run.train_state, settings, run.strategy)
    head = make_train_step(run.train_state, settings, run.strategy, is_head)
    return make_step_loop(whole, run.strategy), make_step_loop(head, run.strategy)


def _epoch(
    run: Run, take: Any, listeners: keras.callbacks.CallbackList, stop: StopRequest
) -> Totals:
    """Takes the steps that an epoch still has, and returns the sums over all."""
    totals = Totals(**run.progress.totals)
    if run.progress.batch == run.steps_per_epoch:
        # Stopped during the evaluation.
        return totals
    batches = _batches(run)
    saved_at = time.monotonic()
    while True:
        _call(run, take, batches, totals, listeners)
        if run.progress.batch == run.steps_per_epoch:
            return totals
        _check_stop(run, stop)
        if time.monotonic() - saved_at > _CHECKPOINT_SECONDS:
            run.save()
            saved_at = time.monotonic()


def _call(
    run: Run,
    take: Any,
    batches: Iterator[Any],
    totals: Totals,
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
        raise UsageError(
            f"the data ended before batch {run.steps_per_epoch} of epoch "
            f"{run.progress.epoch + 1}: there are fewer images than it says"
        ) from error
    except tf.errors.ResourceExhaustedError as error:
        raise UsageError(
            f"the memory of the devices is full in a step of {run.recipe.global_batch} "
            f"images of {run.recipe.size_px} px; in a new --workdir, --set "
            f"accumulation_steps={2 * run.recipe.accumulation_steps} takes a batch in "
            "more parts, and a smaller --set global_batch= or size_px= needs less"
        ) from error
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
        if "IteratorGetNext" not in str(error):
            raise
        raise UsageError(_unreadable(run, count, error)) from error
    seconds = (time.monotonic() - began) / count
    for number in range(count):
        batch = run.progress.batch
        if number:
            listeners.on_train_batch_begin(batch)
        result = {name: float(values[number]) for name, values in results.items()}
        _check_finite(run, batch, result)
        totals.loss += result["loss"]
        totals.correct += result["correct"]
        totals.waited += result["waited"]
        totals.steps += 1
        totals.images += run.recipe.global_batch
        totals.seconds += seconds
        listeners.on_train_batch_end(batch, _progress_of(totals))
        _advance(run, batch, totals)


def _unreadable(run: Run, count: int, error: tf.errors.OpError) -> str:
    """Returns the error for an image that cannot be decoded during training."""
    first = run.progress.batch + 1
    last = first + count - 1
    where = f"batch {first}" if first == last else f"batches {first} to {last}"
    # TensorFlow's own words stand above the first node that it names.
    reason = error.message.partition("[[")[0].strip().rpartition("\n")[2][:200]
    return (
        f"an image of {where} of epoch {run.progress.epoch + 1} cannot be read "
        f"({reason}); class folders are checked beforehand, and --skip_bad_images "
        "leaves such images of theirs out"
    )


def _batches(run: Run) -> Iterator[Any]:
    def share(worker: int, workers: int) -> tf.data.Dataset:
        return run.source.train(
            run.recipe.global_batch,
            epoch=run.progress.epoch,
            seed=run.recipe.seed,
            augment=run.recipe.augmentation,
            start_batch=run.progress.batch,
            worker=worker,
            workers=workers,
        )

    return iter(distribution.distribute(share, run.strategy, run.cluster))


def _advance(run: Run, batch: int, totals: Totals) -> None:
    run.progress = replace(
        run.progress,
        batch=batch + 1,
        step=run.progress.step + 1,
        totals=vars(totals).copy(),
        # Of other weights than these.
        score=None,
    )


def _finish_epoch(run: Run, predictions: Predictions) -> None:
    run.progress = replace(
        run.progress,
        epoch=run.progress.epoch + 1,
        batch=0,
        totals={},
        score=predictions.top1,
    )
    run.save()


def _figures(run: Run, totals: Totals, predictions: Predictions) -> dict[str, float]:
    schedule = run.train_state.optimizer.learning_rate
    return {
        "loss": totals.loss / totals.steps,
        "accuracy": totals.correct / totals.images,
        "val_loss": predictions.loss,
        "val_accuracy": predictions.top1,
        "val_top5": predictions.top5,
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
    """Raises UsageError where the loss or its gradient is no longer a number."""
    names = ["loss", "gradient_norm"]
    scale = run.train_state.loss_scale
    if scale is not None and scale.factor.numpy() > _LEAST_LOSS_SCALE:
        # The step was not taken, and the next one is with half the factor.
        names.remove("gradient_norm")
    for name in names:
        if not math.isfinite(results[name]):
            raise run.checkpoints.not_a_number(
                f"the {name.replace('_', ' ')} is {results[name]} at step "
                f"{run.progress.step + 1} (epoch {run.progress.epoch + 1}, batch "
                f"{batch + 1})"
            )


def _stopping(run: Run, stop: StopRequest) -> bool:
    """Returns True if any worker has been asked to stop; all get the same answer."""
    asked = stop.signal is not None
    return distribution.any_worker(asked, run.strategy, run.cluster)


def _check_stop(run: Run, stop: StopRequest) -> None:
    """Writes a checkpoint and raises Interrupted, where any worker is to stop."""
    if _stopping(run, stop):
        run.save()
        raise _interrupted(run, stop)


def _interrupted(run: Run, stop: StopRequest) -> Interrupted:
    """Returns the word to go with; everything has been saved."""
    return Interrupted(
        f"stopped after step {run.progress.step} (epoch {run.progress.epoch + 1} of "
        f"{run.recipe.epochs}); checkpoint saved; run the same command to "
        "resume",
        stop.exit_code,
    )
