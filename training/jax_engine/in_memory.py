"""Epochs over images that lie on the devices: each is one compiled loop.

The images go there once, and nothing comes back before an epoch is done. This needs no
TensorFlow: images are changed by `augment`, in JAX.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_convnext._data import arrays
from keras_convnext._messages import UsageError

from ..data.pixels import Pixels
from ..data.source import WHOLE, Source
from ..engine.run import Check, Run, TakeEpoch
from ..recipes.augmentation import Augmentation
from ..recipes.recipe import DEFAULTS, Recipe
from . import step as jax_step
from .augment import NOT_HERE, augment, mixup_cutmix
from .devices import Spread, local
from .step import State, Step

# Fields of a recipe that must stay at their defaults.
_NOT_HERE = ("task", "weights", "target", "teacher", "evaluation_crop", "folds")
# More than this is streamed: a device's memory is for the network.
_MOST_BYTES = 2**31


def what_needs_a_stream(recipe: Recipe, data: str) -> list[str]:
    """Returns what a run asks for that is not done in memory; empty for nothing."""
    found = [f"augmentation.{name}" for name in NOT_HERE if _differs(recipe, name)]
    found += [name for name in _NOT_HERE if getattr(recipe, name) != DEFAULTS[name]]
    if recipe.class_balance == "sampling":
        found.append("class_balance=sampling")
    if not data.startswith("array:"):
        found.append(f"--data={data} (array:FILE.npz does not)")
    return found


def _differs(recipe: Recipe, name: str) -> bool:
    (default,) = (each.default for each in fields(Augmentation) if each.name == name)
    return getattr(recipe.augmentation, name) != default


def takes(recipe: Recipe, source: Source) -> bool:
    """Returns True for images in an array that lie in memory as they are wanted.

    It depends on recipe and data alone, so that a run resumes as it began.
    """
    parts = source.training, source.validation
    images = [part.images for part in parts if type(part) is Pixels]
    return (
        len(images) == len(parts)
        and not what_needs_a_stream(recipe, "array:")
        and all(each.shape[1:3] == (recipe.size_px,) * 2 for each in images)
        and len(images[0]) >= recipe.global_batch
        and sum(each.nbytes for each in images) <= _MOST_BYTES
    )


def load(data: str, recipe: Recipe) -> Source:
    """Reads the images without TensorFlow; evaluation sees them whole.

    Args:
        data: "array:FILE.npz".
        recipe: Says how large they and the batches are.

    Raises:
        DataError: The file holds something else.
        UsageError: The images cannot be taken as they are.
    """
    name = data.partition(":")[2]
    classes, training, validation = arrays.load(name)
    source = Source(
        name,
        classes,
        Pixels(*training),
        Pixels(*validation),
        replace(WHOLE, size_px=recipe.size_px),
    )
    if not takes(recipe, source):
        height, width = training[0].shape[1:3]
        raise UsageError(
            f"{name} has {len(training[1])} images of {height}x{width} pixels to train "
            f"on, and the recipe's size_px is {recipe.size_px}, its global_batch "
            f"{recipe.global_batch}; without TensorFlow images are taken as they are, "
            "a batch of them at least and 2 GiB at most: install TensorFlow, or make "
            "them fit"
        )
    return source


def on_devices(examples: Any, spread: Spread) -> tuple[Any, Any]:
    """Returns all images and labels, on every device."""
    assert isinstance(examples, Pixels)
    images, labels = spread.copy((examples.images, examples.labels))
    return images, labels


def make_epoch(run: Run, spread: Spread, step: Step, head: Step) -> TakeEpoch:
    """Returns a function that takes a whole epoch, which nothing stops.

    Args:
        run: The run.
        spread: What a batch is spread over.
        step: Of `make_train_step`.
        head: The same, of the epochs in which the backbone is frozen.
    """
    recipe = run.recipe
    images, labels = on_devices(run.source.training, spread)
    classes = len(run.source.classes)
    epochs = {
        is_frozen: jax.jit(
            _epoch_of(_changed(each, recipe, classes, spread), recipe.global_batch),
            donate_argnums=0,
            out_shardings=spread.whole,
        )
        for is_frozen, each in ((False, step), (True, head))
    }
    key = jax.random.key(recipe.seed)

    def take_epoch(listeners: keras.callbacks.CallbackList, check: Check) -> None:
        del listeners, check
        started, epoch = time.monotonic(), run.progress.epoch
        state, sums = epochs[epoch < recipe.frozen_epochs](
            jax_step.state_of(run.train_state, spread),
            jax_step.constants_of(run.train_state, spread, run.teacher),
            images,
            labels,
            np.asarray(jax.random.key_data(jax.random.fold_in(key, epoch))),
        )
        told = {name: float(local(value)) for name, value in sums.items()}
        loss = told["loss"] / run.steps_per_epoch
        if not math.isfinite(loss):
            raise run.checkpoints.not_a_number(
                f"the loss is {loss} in epoch {epoch + 1}"
            )
        del told["gradient_norm"]
        jax_step.put_back(run.train_state, state)
        told["steps"] = run.steps_per_epoch
        told["images"] = run.steps_per_epoch * recipe.global_batch
        told["seconds"] = time.monotonic() - started
        told["waited"] = 0.0
        run.note_steps(run.steps_per_epoch, told)

    return take_epoch


def _changed(
    step: Step, recipe: Recipe, classes: int, spread: Spread
) -> Callable[..., Any]:
    """Returns a step that changes its images by a key before."""

    def changed(
        state: State, constants: Any, images: Any, labels: Any, key: Any
    ) -> Any:
        view_key, mix_key = jax.random.split(key)
        images, labels = spread.along((images, labels))
        images = augment(images, view_key, recipe.augmentation)
        images, truth = mixup_cutmix(
            images, labels, mix_key, classes, recipe.augmentation
        )
        return step(state, constants, *spread.along((images, truth)))

    return changed


def _epoch_of(step: Callable[..., Any], batch: int) -> Callable[..., Any]:
    """Returns a function that takes every step of an epoch.

    It takes and returns what a step does, with all images instead of a batch of
    them, sums over the steps, and a key's data that decide the order too. What is left
    of the images, less than a batch, is another part in every epoch.

    Args:
        step: Of `_changed`.
        batch: Images a step.
    """

    def epoch(state: State, constants: Any, images: Any, labels: Any, data: Any) -> Any:
        order_key, steps_key = jax.random.split(jax.random.wrap_key_data(data))
        count = len(labels)
        steps = count // batch
        order = jax.random.permutation(order_key, count)[: steps * batch]

        def one(state: State, given: Any) -> Any:
            rows, key = given
            return step(state, constants, images[rows], labels[rows], key)

        each = (order.reshape(steps, batch), jax.random.split(steps_key, steps))
        state, sums = jax.lax.scan(one, state, each)
        return state, {name: jnp.sum(values) for name, values in sums.items()}

    return epoch
