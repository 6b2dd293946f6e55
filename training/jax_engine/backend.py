"""The steps of a run under Keras' JAX backend: an epoch is one compiled loop.

For a GPU that TensorFlow does not see, or a machine without TensorFlow.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import keras

from keras_convnext._data import arrays
from keras_convnext._messages import UsageError, say

from ..data.pixels import Pixels
from ..data.source import WHOLE, Source
from ..engine.run import Check, Run, TakeEpoch
from ..recipes.augmentation import Augmentation
from ..recipes.recipe import DEFAULTS, Recipe
from ..tasks.task import Measure, Rows, Task
from . import step as jax_trainer
from .augment import NOT_HERE

# Fields of a recipe that must stay at their defaults.
_NOT_HERE = (
    "task",
    "weights",
    "frozen_epochs",
    "accumulation_steps",
    "target",
    "teacher",
    "loss",
    "evaluation_crop",
    "steps_per_call",
    "folds",
)


@dataclass(frozen=True)
class JaxBackend:
    """One device, on which network and images lie together.

    Attributes:
        replicas: One device takes a batch.
        is_chief: There is one process.
        checkpoint_seconds: Epochs may take less than writing a checkpoint does.
    """

    replicas: int = 1
    is_chief: bool = True
    checkpoint_seconds: float = 60.0

    def describe(self) -> str:
        """Returns the device in a few words."""
        return f"JAX on {jax.devices()[0].device_kind}"

    def scope(self) -> AbstractContextManager[Any]:
        """Returns a context that changes nothing."""
        return contextlib.nullcontext()

    def any_worker(self, flag: bool) -> bool:
        """Returns the flag: there is one process."""
        return flag

    def load(
        self, task: Task, data: str, recipe: Recipe, skip_bad_images: bool
    ) -> Source:
        """Returns the images of an array, which lie in memory as they are."""
        del task, skip_bad_images
        return load(data, recipe)

    def make_epoch(self, run: Run) -> TakeEpoch:
        """Returns a function that takes a whole epoch, which nothing stops."""
        recipe, began = run.recipe, time.monotonic()
        images, labels = map(jnp.asarray, _pixels(run.source.training))
        losses = run.task.make_losses(recipe, run.source)
        step = jax_trainer.make_train_step(
            run.train_state, losses, recipe, len(run.source.classes)
        )
        epoch_of_steps = jax_trainer.compiled_epoch(
            step,
            recipe.global_batch,
            jax_trainer.state_of(run.train_state),
            images,
            labels,
        )
        say(f"compiled in {time.monotonic() - began:.0f} s")
        key = jax.random.key(recipe.seed)

        def take_epoch(listeners: keras.callbacks.CallbackList, check: Check) -> None:
            del listeners, check
            started, epoch = time.monotonic(), run.progress.epoch
            state, sums = epoch_of_steps(
                jax_trainer.state_of(run.train_state),
                images,
                labels,
                jax.random.fold_in(key, epoch),
            )
            told = {name: float(value) for name, value in sums.items()}
            loss = told["loss"] / run.steps_per_epoch
            if not math.isfinite(loss):
                raise run.checkpoints.not_a_number(
                    f"the loss is {loss} in epoch {epoch + 1}"
                )
            jax_trainer.put_back(run.train_state, state)
            told["steps"] = run.steps_per_epoch
            told["images"] = run.steps_per_epoch * recipe.global_batch
            told["seconds"] = time.monotonic() - started
            told["waited"] = 0.0
            run.note_steps(run.steps_per_epoch, told)

        return take_epoch

    def make_evaluation(
        self, run: Run, model: keras.Model, measure: Measure
    ) -> Callable[[Check], Iterator[Rows]]:
        """Returns a function that gives the rows of all validation examples at once."""
        rows_of = jax_trainer.make_measure(model, measure)
        images, labels = map(jnp.asarray, _pixels(run.source.validation))

        def evaluate(check: Check) -> Iterator[Rows]:
            del check
            yield rows_of(
                [variable.value for variable in model.trainable_variables],
                [variable.value for variable in model.non_trainable_variables],
                images,
                labels,
            )

        return evaluate


def _pixels(examples: Any) -> tuple[Any, Any]:
    """Returns images and labels that `load` has read."""
    assert isinstance(examples, Pixels)
    return examples.images, examples.labels


def check(recipe: Recipe, data: str) -> None:
    """Makes sure that a recipe asks for nothing that is not here.

    Raises:
        UsageError: It does; all of it is named.
    """
    changed = [f"augmentation.{name}" for name in NOT_HERE if _differs(recipe, name)]
    changed += [name for name in _NOT_HERE if getattr(recipe, name) != DEFAULTS[name]]
    for name, value in (("precision", "mixed_float16"), ("class_balance", "sampling")):
        if getattr(recipe, name) == value:
            changed.append(f"{name}={value}")
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


def load(data: str, recipe: Recipe) -> Source:
    """Reads the images; evaluation sees them whole.

    Args:
        data: "array:FILE.npz".
        recipe: Says how large they and the batches are.

    Raises:
        DataError: The file holds something else.
        UsageError: The images are of another size, or fewer than a batch.
    """
    name = data.partition(":")[2]
    classes, training, validation = arrays.load(name)
    for images, _ in (training, validation):
        if images.shape[1:3] != (recipe.size_px, recipe.size_px):
            height, width = images.shape[1:3]
            raise UsageError(
                f"{name} has images of {height}x{width} pixels and the recipe's "
                f"size_px is {recipe.size_px}; under the JAX backend images are "
                "taken as they are"
            )
    if len(training[1]) < recipe.global_batch:
        raise UsageError(
            f"{name} has {len(training[1])} images to train on, less than "
            f"one batch of {recipe.global_batch}; try a smaller global_batch"
        )
    return Source(
        name,
        classes,
        Pixels(*training),
        Pixels(*validation),
        replace(WHOLE, size_px=recipe.size_px),
    )
