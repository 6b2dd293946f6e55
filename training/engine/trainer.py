"""The story of a run, and its loop.

1. A run starts from the newest whole checkpoint of its workdir; where there is none,
   from the recipe's weights; where it names none, from random ones (`run.begin`).
2. An epoch is a fixed number of steps. Its order and augmentation come from seed and
   epoch alone, so that a run that was stopped goes on with the batch that comes next.
3. A step (`step.make_train_step`): each device takes its part of the batch in
   `accumulation_steps` parts, from outputs to losses to gradients; the parts are
   summed, then the devices; the sum is clipped, the optimizer changes the weights, and
   the moving average follows them. In float16 a gradient that is not finite changes
   nothing but the loss scale.
4. After each epoch the model that will be kept, the moving average where there is one,
   is evaluated; callbacks are told, and a checkpoint holds all that the next step
   needs. The best epoch is the one with the best metric of the task.
5. Ctrl-C and SIGTERM end a run between two steps, with a checkpoint.
6. When the last epoch is done, or none was better for as long as the recipe has
   patience, `finish` writes the inference model of the last or the best epoch, its
   metrics and the report.

What is trained for is the run's task, and who takes the steps its backend; this page
knows neither.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_convnext._messages import Interrupted

from .. import tasks
from ..data.source import Source
from ..recipes.recipe import Recipe
from ..tasks.task import Evaluation, Task
from ..workdir.layout import Workdir
from . import callbacks as callbacks_of_keras
from .cluster import ALONE, Cluster
from .run import Run, begin
from .stop_signal import StopRequest

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["Run", "begin", "prepare", "train"]

# Sums of an epoch that every task has; the others are the task's own.
_OF_EPOCH = ("steps", "images", "seconds", "waited", "loss")


def prepare(
    recipe: Recipe,
    source: Source,
    workdir: Workdir,
    strategy: tf.distribute.Strategy,
    task: Task | None = None,
    cluster: Cluster = ALONE,
) -> Run:
    """Returns a run on TensorFlow, ready to go on; `run.begin` says how it starts.

    Args:
        recipe: The run's numbers.
        source: The data.
        workdir: The run's folder, already claimed.
        strategy: What to spread the work by.
        task: What it is trained for; the recipe's, unless given.
        cluster: This process among those that train together.

    Raises:
        UsageError: The recipe makes no network, or does not fit the devices.
    """
    from .tensorflow_backend import TensorFlowBackend

    backend = TensorFlowBackend(strategy, cluster)
    return begin(recipe, task or tasks.find_task(recipe), source, workdir, backend)


def train(run: Run, callbacks: Sequence[keras.callbacks.Callback] = ()) -> None:
    """Goes on with a run until its last epoch is done.

    Args:
        run: From `prepare` or `begin`.
        callbacks: Ordinary Keras callbacks. `on_epoch_end` gets "loss" and what else
            the task shows of training ("accuracy"), the figures of its evaluation with
            "val_" before them ("val_loss", "val_accuracy", "val_top5"),
            "learning_rate", "seconds", "images_per_second" and "data_wait" (the share
            of the time in which the devices waited for data), and after some epochs
            what the task's probe measured ("knn_accuracy"). Their `model` is the one
            that is evaluated, the EMA model where there is one.
            `model.stop_training` and a number set as `model.optimizer.learning_rate`
            take effect.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; a checkpoint has been written.
        UsageError: The loss is no longer a number, the disk is full, or a callback
            cannot work here.
    """
    epochs, kept = run.recipe.epochs, run.train_state.eval_model
    listeners = callbacks_of_keras.prepare(
        callbacks, run.train_state, epochs, run.steps_per_epoch
    )
    evaluate = run.make_evaluation(kept, run.task.measure)
    probe = run.make_probe(kept)
    listeners.on_train_begin()
    with StopRequest() as stop:
        # JAX compiles here, which takes a while, too.
        take_epoch = run.backend.make_epoch(run)
        check = functools.partial(_check_stop, run, stop)
        while run.progress.epoch < epochs and not run.is_out_of_patience():
            epoch = run.progress.epoch
            listeners.on_epoch_begin(epoch)
            # Stopped during its evaluation, an epoch has no steps left.
            if run.progress.batch < run.steps_per_epoch:
                take_epoch(listeners, check)
            listeners.on_test_begin()
            evaluation = evaluate(check)
            logs = _figures(run, evaluation)
            if _is_probed(run):
                logs |= probe(check)
            listeners.on_test_end(dict(evaluation.figures))
            listeners.on_epoch_end(epoch, logs)
            run.finish_epoch(evaluation)
            stops = _stopping(run, stop)
            if stops or kept.stop_training or _is_due(run):
                run.save()
            if kept.stop_training:
                break
            if stops and run.progress.epoch < epochs:
                raise _interrupted(run, stop)
    listeners.on_train_end()


def _figures(run: Run, evaluation: Evaluation) -> dict[str, float]:
    """Returns an epoch's figures for callbacks."""
    totals = run.progress.totals
    rate: Any = run.train_state.optimizer.learning_rate
    own = {name: value for name, value in totals.items() if name not in _OF_EPOCH}
    return {
        "loss": totals["loss"] / totals["steps"],
        **{name: value / totals["images"] for name, value in own.items()},
        **{f"val_{name}": value for name, value in evaluation.figures.items()},
        "learning_rate": float(keras.ops.convert_to_numpy(rate)),
        "seconds": totals["seconds"],
        "images_per_second": totals["images"] / max(totals["seconds"], 1e-9),
        "data_wait": totals["waited"] / max(totals["seconds"], 1e-9),
    }


def _is_probed(run: Run) -> bool:
    """Returns True if the task's probe is to measure the epoch under way."""
    number = run.progress.epoch + 1
    return number == run.recipe.epochs or number % run.recipe.probe_epochs == 0


def _is_due(run: Run) -> bool:
    """Returns True if the finished epoch is to have a checkpoint."""
    if run.progress.epoch == run.recipe.epochs or run.recipe.keep == "best":
        return True
    return run.seconds_since_saved() >= run.backend.checkpoint_seconds


def _stopping(run: Run, stop: StopRequest) -> bool:
    """Returns True if any worker has been asked to stop; all get the same answer."""
    return run.backend.any_worker(stop.signal is not None)


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
