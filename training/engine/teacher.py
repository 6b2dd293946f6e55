"""The trained classifier that a run distills: found, checked, and asked for logits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from keras import ops

from keras_convnext import weights
from keras_convnext._messages import UsageError
from keras_convnext.inference._load import find_model
from keras_convnext.inference.loaded_model import (
    WEIGHTS_ENDINGS,
    LoadedModel,
    find_size_px,
    load_model_file,
    load_published,
)

from ..data.source import Source
from ..recipes.recipe import Recipe
from ..tasks.losses import log_probabilities


def check(recipe: Recipe) -> None:
    """Makes sure that there is such a teacher, without fetching or reading it.

    Raises:
        ValueError: There is none.
    """
    if recipe.teacher is not None:
        _file_of(recipe.teacher)


def _file_of(named: str) -> Path | None:
    """Returns the file that a teacher is in; None for a published one.

    Raises:
        ValueError: It names neither.
    """
    if named in weights.list_weights():
        return None
    try:
        path = find_model(named)
    except FileNotFoundError:
        raise ValueError(
            f"there is no teacher={named}: give a .keras file, the workdir of a "
            "finished run, or a published checkpoint (convnext_tiny.fb_in1k)"
        ) from None
    except ValueError as error:
        raise ValueError(f"teacher={named}: {error}") from error
    if path.suffix not in (".keras", *WEIGHTS_ENDINGS):
        raise ValueError(
            f"teacher={named} is an exported file: give the .keras file that it was "
            "made of"
        )
    return path


def load(recipe: Recipe, source: Source) -> keras.Model:
    """Returns the recipe's teacher; to be called in the strategy's scope.

    It takes what the student sees, float32 images `(batch, size, size, 3)` in 0..255,
    resizes and normalizes them as it is used to, and gives logits `(batch, classes)`
    up to what all classes of an image share.

    Args:
        recipe: Its `teacher` and `size_px` are used.
        source: The run's; its classes must be the teacher's.

    Raises:
        UsageError: The teacher cannot be had, or tells other classes.
    """
    named = str(recipe.teacher)
    try:
        file = _file_of(named)
        loaded = load_published(named) if file is None else load_model_file(file)
        if loaded.meaning.kind != "softmax":
            raise ValueError(
                f"its outputs are of the kind {loaded.meaning.kind}, and a teacher "
                "gives each image one class"
            )
        _check_classes(loaded, source.classes)
    except (OSError, ValueError) as error:
        raise UsageError(f"teacher={named}: {error}") from error
    return _as_seen_by(loaded, recipe.size_px)


def _check_classes(loaded: LoadedModel, classes: Sequence[str]) -> None:
    """Raises ValueError where a teacher's classes are not the data's, in their order.

    A model without names is held to be in order, if it has as many outputs.
    """
    is_named = not any("class 0" in notice for notice in loaded.notices)
    if len(loaded.labels) == len(classes) and not is_named:
        return
    wanted = tuple(classes)
    if wanted in (loaded.labels, loaded.synsets):
        return
    if len(loaded.labels) != len(wanted):
        raise ValueError(
            f"it tells {len(loaded.labels):,} classes, and the data have "
            f"{len(wanted):,}; fine-tune it on these data first"
        )
    number = next(
        number for number, name in enumerate(wanted) if name != loaded.labels[number]
    )
    raise ValueError(
        f"its class {number} is {loaded.labels[number]}, and that of the data "
        f"{wanted[number]}; both need the same classes in the same order"
    )


def _as_seen_by(loaded: LoadedModel, size_px: int) -> keras.Model:
    """Returns a teacher that takes the images of a student."""
    seen = loaded.preprocessing
    own_size_px = find_size_px(loaded.model) or seen.size_px
    images = keras.Input((size_px, size_px, 3), dtype="float32")
    inputs: Any = images
    if own_size_px != size_px:
        inputs = keras.layers.Resizing(
            own_size_px,
            own_size_px,
            interpolation=seen.interpolation,
            antialias=True,
            dtype="float32",
        )(inputs)
        # Bicubic overshoots.
        inputs = ops.clip(inputs, 0.0, 255.0)
    if not loaded.normalizes:
        mean, std = (
            ops.convert_to_tensor(values, "float32") for values in (seen.mean, seen.std)
        )
        inputs = (inputs / 255.0 - mean) / std
    outputs = ops.cast(loaded.model(inputs, training=False), "float32")
    if loaded.meaning.applied:
        outputs = log_probabilities(outputs)
    teacher = keras.Model(images, outputs, name="teacher")
    teacher.trainable = False
    return teacher
