"""A run under Keras' JAX backend, from the recipe to the model.

For a GPU that TensorFlow does not see, or a machine without TensorFlow.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from keras_convnext import _files
from keras_convnext._data import arrays
from keras_convnext._messages import Interrupted, UsageError, say
from keras_convnext.preprocessing import IMAGENET, Preprocessing

from ..engine import model as network
from ..engine import train_state
from ..engine.stop_signal import StopRequest
from ..engine.train_state import TrainState
from ..evaluation.metrics import Predictions, predictions_from_probabilities
from ..recipes.augmentation import Augmentation
from ..recipes.recipe import DEFAULTS, Recipe
from ..report import plots, results, run_log
from ..report.progress import clock, epoch_line
from ..workdir.checkpoints import Checkpoints, TrainProgress
from ..workdir.history import HistoryFile
from ..workdir.layout import Workdir, counts, identity
from . import step as jax_trainer
from .augment import NOT_HERE

# A power cut costs at most this much.
_CHECKPOINT_SECONDS = 60.0
# Fields of a recipe that must stay at their defaults.
_NOT_HERE = (
    "weights",
    "frozen_epochs",
    "accumulation_steps",
    "loss",
    "evaluation_crop",
    "steps_per_call",
)


@dataclass(frozen=True)
class ArrayImages:
    """Labeled images in memory, as `training.data.Source` has them.

    Attributes:
        name: Where they come from.
        classes: Their names in the order of the labels.
        training: uint8 `(count, size, size, 3)` and labels `(count,)`.
        validation: The same, of images that are not trained on.
        skipped: None is.
    """

    name: str
    classes: tuple[str, ...]
    training: arrays.Labeled
    validation: arrays.Labeled
    skipped: tuple[Any, ...] = ()

    @property
    def train_examples(self) -> int:
        """How many are trained on."""
        return len(self.training[1])

    @property
    def validation_examples(self) -> int:
        """How many validation images there are."""
        return len(self.validation[1])

    @property
    def preprocessing(self) -> Preprocessing:
        """How evaluation sees an image: whole."""
        size = self.training[0].shape[1]
        return replace(IMAGENET, size_px=size, crop_fraction=1.0)


@dataclass
class Run:
    """One run under way.

    Attributes:
        recipe: Its numbers.
        source: Its images.
        workdir: Where it leaves everything.
        train_state: What learns.
        checkpoints: Of the train state.
        progress: Where the run is.
    """

    recipe: Recipe
    source: ArrayImages
    workdir: Workdir
    train_state: TrainState
    checkpoints: Checkpoints
    progress: TrainProgress = field(default_factory=TrainProgress)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that one epoch takes."""
        return self.source.train_examples // self.recipe.global_batch


def check(recipe: Recipe, data: str) -> None:
    """Makes sure that a recipe asks for nothing that is not here.

    Raises:
        UsageError: It does; all of it is named.
    """
    changed = [f"augmentation.{name}" for name in NOT_HERE if _differs(recipe, name)]
    changed += [name for name in _NOT_HERE if getattr(recipe, name) != DEFAULTS[name]]
    if recipe.precision == "mixed_float16":
        changed.append("precision=mixed_float16")
    if not data.startswith("array:"):
        changed.append(f"--data={data} (array:FILE.npz is)")
    if changed:
        raise UsageError(
            f"not supported with the JAX backend: {', '.join(changed)}; change "
            "that with --set, or unset KERAS_BACKEND and train with TensorFlow"
        )


def _differs(recipe: Recipe, name: str) -> bool:
    (default,) = (each.default for each in fields(Augmentation) if each.name == name)
    return getattr(recipe.augmentation, name) != default


def load(data: str, recipe: Recipe) -> ArrayImages:
    """Reads the images.

    Args:
        data: "array:FILE.npz".
        recipe: Says how large they and the batches are.

    Raises:
        DataError: The file holds something else.
        UsageError: The images are of another size, or fewer than a batch.
    """
    name = data.partition(":")[2]
    source = ArrayImages(name, *arrays.load(name))
    for images, _ in (source.training, source.validation):
        if images.shape[1:3] != (recipe.size_px, recipe.size_px):
            height, width = images.shape[1:3]
            raise UsageError(
                f"{name} has images of {height}x{width} pixels and the recipe's "
                f"size_px is {recipe.size_px}; under the JAX backend images are "
                "taken as they are"
            )
    if source.train_examples < recipe.global_batch:
        raise UsageError(
            f"{name} has {source.train_examples} images to train on, less than "
            f"one batch of {recipe.global_batch}; try a smaller global_batch"
        )
    return source


def prepare(recipe: Recipe, data: str, workdir: Workdir) -> Run:
    """Reads the images, builds the network, and finds the newest checkpoint.

    Args:
        recipe: The run's numbers; `check` has looked at them.
        data: What `--data` says.
        workdir: Where everything is left.

    Raises:
        DataError: The file of the images holds something else.
        UsageError: The images or the workdir are another run's.
    """
    source = load(data, recipe)
    workdir.claim({**identity(recipe, data), **counts(source)}, source.classes)
    total = recipe.epochs * (source.train_examples // recipe.global_batch)
    try:
        made = train_state.make(recipe, source, total)
    except UsageError:
        workdir.release()
        raise
    checkpoints = Checkpoints(
        workdir.checkpoints, made.variables(), recipe.keep_checkpoints
    )
    checkpoints.tidy()
    run = Run(recipe, source, workdir, made, checkpoints)
    restored = checkpoints.restore()
    if restored is not None:
        run.progress, damaged = restored
        for line in damaged:
            say(line)
    return run


def train(run: Run) -> int:
    """Goes on with a run until its last epoch is done, and writes what it leaves.

    Returns:
        The exit code.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; a checkpoint has been written.
        UsageError: The loss is no longer a number, or the disk is full.
    """
    run_log.say_what_begins(run, f"JAX on {jax.devices()[0].device_kind}")
    history = HistoryFile(run.workdir.history, run.progress.epoch)
    with StopRequest() as stop:
        _epochs(run, history, stop)
    started = time.monotonic()
    metrics = _write_outputs(run, history.rows)
    seconds = time.monotonic() - started
    curves = run.workdir.images / "curves.png"
    run_log.say_what_came_out(run, metrics, curves, seconds)
    return 0


def _epochs(run: Run, history: HistoryFile, stop: StopRequest) -> None:
    recipe, source = run.recipe, run.source
    step = jax_trainer.make_train_step(run.train_state, recipe, len(source.classes))
    predict = jax_trainer.make_predict(run.train_state.model, jax.nn.softmax)
    images, labels = (jnp.asarray(each) for each in source.training)
    validation = jnp.asarray(source.validation[0])
    state = jax_trainer.state_of(run.train_state)
    key = jax.random.key(recipe.seed)
    began = saved = time.monotonic()
    before = run.progress.seconds
    epoch_of_steps = jax_trainer.compiled_epoch(
        step, recipe.global_batch, state, images, labels
    )
    say(f"compiled in {clock(time.monotonic() - began)}")
    while run.progress.epoch < recipe.epochs:
        epoch, start = run.progress.epoch, time.monotonic()
        epoch_key = jax.random.fold_in(key, epoch)
        state, loss, right = epoch_of_steps(state, images, labels, epoch_key)
        told = {"loss": float(loss), "accuracy": float(right)}
        seconds = time.monotonic() - start
        if not np.isfinite(told["loss"]):
            raise run.checkpoints.not_a_number(
                f"the loss is {told['loss']} in epoch {epoch + 1}"
            )
        kept = state["averaged"] or state["trained"]
        probabilities = predict(kept, state["others"], validation)
        predictions = predictions_from_probabilities(
            source.validation[1], probabilities
        )
        now = time.monotonic()
        run.progress = TrainProgress(
            epoch=epoch + 1,
            step=(epoch + 1) * run.steps_per_epoch,
            seconds=before + now - began,
            score=predictions.top1,
        )
        logs = {**told, **_figures(run, predictions, seconds)}
        history.on_epoch_end(epoch, logs)
        left = clock((now - start) * (recipe.epochs - epoch - 1))
        say(epoch_line(f"epoch {epoch + 1}/{recipe.epochs}", logs, f"{left} left"))
        last = run.progress.epoch == recipe.epochs
        due = now - saved >= _CHECKPOINT_SECONDS or recipe.keep == "best"
        if last or due or stop.signal is not None:
            jax_trainer.put_back(run.train_state, state)
            run.checkpoints.save(run.progress)
            saved = now
        if stop.signal is not None and not last:
            raise Interrupted(
                f"stopped after epoch {run.progress.epoch} of {recipe.epochs}; "
                "checkpoint saved; run the same command to resume",
                stop.exit_code,
            )


def _figures(run: Run, predictions: Predictions, seconds: float) -> dict[str, float]:
    steps = run.steps_per_epoch * run.recipe.epochs
    rate = train_state.schedule(run.recipe, steps)(run.progress.step - 1)
    return {
        "val_loss": predictions.loss,
        "val_accuracy": predictions.top1,
        "val_top5": predictions.top5,
        "learning_rate": float(rate),
        "seconds": seconds,
        "images_per_second": run.steps_per_epoch * run.recipe.global_batch / seconds,
        "data_wait": 0.0,
    }


def _write_outputs(run: Run, rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Writes the model, its figures and two drawings; the figures come last."""
    kept_epoch = run.progress.epoch
    best = run.checkpoints.best() if run.recipe.keep == "best" else None
    if best is not None:
        kept_epoch = run.checkpoints.put_back(best).epoch
    source, workdir = run.source, run.workdir
    model = network.build_inference_model(
        run.recipe, run.train_state.eval_model, source.preprocessing
    )
    # As it is saved: float32, with probabilities as outputs.
    predict = jax_trainer.make_predict(model)
    trained = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]
    images, labels = source.validation
    predictions = predictions_from_probabilities(
        labels, predict(trained, others, images)
    )
    figures = results.metrics(run, model, predictions, rows, kept_epoch)
    results.write_model(workdir, model, source)
    names = results.image_names(source)
    results.write_validation(workdir, names, source.classes, predictions)
    drawn = {"curves.png": plots.curves(rows)}
    if len(source.classes) <= plots.MOST_CONFUSION_CLASSES:
        drawn["confusion.png"] = plots.confusion(
            predictions.confusion(), source.classes
        )
    for name, png in drawn.items():
        with _files.replacing(workdir.images / name) as partial:
            partial.write_bytes(png)
    _files.write_json(workdir.metrics, figures)
    return figures
