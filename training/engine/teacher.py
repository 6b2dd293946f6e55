"""The trained model that a run distills: found, checked, and asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import keras
from keras import ops

from keras_convnext import weights
from keras_convnext._messages import UsageError
from keras_convnext.inference._load import find_model
from keras_convnext.inference.loaded_model import (
    WEIGHTS_ENDINGS,
    find_size_px,
    load_model_file,
    load_published,
)

from ..data.source import Source
from ..recipes.recipe import Recipe
from ..tasks.losses import log_probabilities
from . import feature_teacher, hub_teacher, saved_model_teacher
from .teacher_view import TeacherNetwork, as_seen_by, of_preprocessing


def check(recipe: Recipe) -> None:
    """Makes sure that there is such a teacher, without fetching or reading it.

    Raises:
        ValueError: There is none.
    """
    if recipe.teacher is None:
        return
    if hub_teacher.find_preset(recipe.teacher) is None:
        _file_of(recipe.teacher, takes_folders=gives_logits(recipe))
    elif gives_logits(recipe):
        raise ValueError(
            f"teacher={recipe.teacher}: a KerasHub preset teaches features, not "
            "logits: --set distillation=features"
        )


def gives_logits(recipe: Recipe) -> bool:
    """Returns True if a recipe's teacher gives logits, and not features."""
    return recipe.task == "classification" and recipe.distillation == "logits"


def _file_of(named: str, takes_folders: bool = True) -> Path | None:
    """Returns the file that a teacher is in; None for a published one.

    Args:
        named: What `teacher` says.
        takes_folders: Whether it may be a SavedModel, of which the folder is returned.

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
            "finished run, a published checkpoint (convnext_tiny.fb_in1k), or for "
            "features keras_hub:PRESET"
        ) from None
    except ValueError as error:
        raise ValueError(f"teacher={named}: {error}") from error
    if path.is_dir() and takes_folders:
        return path
    if path.suffix not in (".keras", *WEIGHTS_ENDINGS):
        raise ValueError(
            f"teacher={named} is an exported file: give the .keras file that it was "
            "made of"
        )
    return path


def load(
    recipe: Recipe,
    source: Source,
    scope: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> keras.Model:
    """Returns the recipe's teacher.

    It takes what the student sees, float32 images `(batch, size, size, 3)` in 0..255,
    resizes and normalizes them as it is used to, and gives logits `(batch, classes)`
    up to what all classes of an image share, or features `(batch, channels)`.

    Args:
        recipe: Its `teacher`, `distillation` and `size_px` are used.
        source: The run's; a teacher of logits has its classes.
        scope: Gives a context in which variables are made on every device.

    Raises:
        UsageError: The teacher cannot be had, tells other classes, or has no features.
    """
    named = str(recipe.teacher)
    try:
        if gives_logits(recipe):
            network = _load_logits(named, source.classes, scope)
        else:
            with scope():
                network = _load_features(named)
    except (OSError, ValueError) as error:
        raise UsageError(f"teacher={named}: {error}") from error
    with scope():
        return as_seen_by(network, recipe.size_px)


def _load_features(named: str) -> TeacherNetwork:
    if (preset := hub_teacher.find_preset(named)) is not None:
        return hub_teacher.load(preset)
    if (file := _file_of(named, takes_folders=False)) is not None:
        return feature_teacher.load_file(file)
    return feature_teacher.load_published_features(named)


def _load_logits(
    named: str,
    classes: Sequence[str],
    scope: Callable[[], AbstractContextManager[Any]],
) -> TeacherNetwork:
    file = _file_of(named)
    if file is not None and file.is_dir():
        network, labels, is_named = saved_model_teacher.load(file)
        _check_classes(classes, labels, (), is_named)
        return network
    with scope():
        loaded = load_published(named) if file is None else load_model_file(file)
        if loaded.meaning.kind != "softmax":
            raise ValueError(
                f"its outputs are of the kind {loaded.meaning.kind}, and a teacher "
                "gives each image one class"
            )
        is_named = not any("class 0" in notice for notice in loaded.notices)
        _check_classes(classes, loaded.labels, loaded.synsets, is_named)
        model, seen = loaded.model, loaded.preprocessing
        if loaded.meaning.applied:
            probabilities = ops.cast(model.outputs[0], "float32")
            model = keras.Model(model.inputs[0], log_probabilities(probabilities))
        size_px = find_size_px(model) or seen.size_px
        return of_preprocessing(model, size_px, seen, loaded.normalizes)


def _check_classes(
    wanted: Sequence[str],
    labels: Sequence[str],
    synsets: Sequence[str],
    is_named: bool,
) -> None:
    """Raises ValueError where a teacher's classes are not the data's, in their order.

    A model without names is held to be in order, if it has as many outputs.

    Args:
        wanted: The data's.
        labels: The teacher's, or numbers.
        synsets: The WordNet ids of its classes, where they are ImageNet's.
        is_named: Whether its labels are names.
    """
    if len(labels) == len(wanted) and not is_named:
        return
    if tuple(wanted) in (tuple(labels), tuple(synsets)):
        return
    if len(labels) != len(wanted):
        raise ValueError(
            f"it tells {len(labels):,} classes, and the data have "
            f"{len(wanted):,}; fine-tune it on these data first"
        )
    number = next(
        number for number, name in enumerate(wanted) if name != labels[number]
    )
    raise ValueError(
        f"its class {number} is {labels[number]}, and that of the data "
        f"{wanted[number]}; both need the same classes in the same order"
    )
