"""The features of a trained network that a run distills: found, and taken out of it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import keras

from keras_convnext import weights
from keras_convnext.creation import create
from keras_convnext.inference.features import with_features
from keras_convnext.inference.inputs import normalizes_images
from keras_convnext.inference.loaded_model import (
    WEIGHTS_ENDINGS,
    WITHOUT_CLASSES,
    find_size_px,
    load_model_file,
    load_published,
)
from keras_convnext.inference.outputs import find_output_meaning, read_recorded_loss
from keras_convnext.inference.sidecars import (
    find_preprocessing,
    read_task,
)

from . import hub_teacher
from .teacher_view import HOW_TO_TELL, TeacherNetwork, of_preprocessing

# What has one row of numbers below its answers for an image.
_OF_IMAGES = ("softmax", "sigmoid", "number")


def load_file(path: Path) -> TeacherNetwork:
    """Returns the network of a .keras file, or of a file of weights, and how it sees.

    Args:
        path: The file.

    Raises:
        ValueError: It cannot be read, gives no features, or how it sees images is not
            known; one line.
    """
    # Its outputs are looked at below, and so is its normalization.
    loaded = load_model_file(path, output="features", normalization="none")
    model = loaded.model
    if hub_teacher.is_backbone(model):
        model, normalizes = hub_teacher.take_features(model), False
    else:
        model, normalizes = _take_features(path, model), loaded.normalizes
    size_px = find_size_px(model)
    seen = find_preprocessing(path, size_px, needs_normalization=not normalizes)
    if seen is None and not normalizes:
        what = (
            "does not normalize images"
            if normalizes_images(model) is False
            else "does not show whether it normalizes images"
        )
        raise ValueError(f"it {what}: {HOW_TO_TELL}")
    seen = seen or loaded.preprocessing
    return of_preprocessing(model, size_px or seen.size_px, seen, normalizes)


def load_published_features(name: str) -> TeacherNetwork:
    """Fetches a published network and returns it with how it sees.

    Args:
        name: One of `keras_convnext.list_weights()`.

    Raises:
        OSError: It cannot be fetched.
    """
    record = weights.find(name)
    if record.classes and record.classifier_activation:
        model = _features_of(load_published(name).model)
    else:
        model = create(name, include_top=False, pooling="avg")
    seen = record.preprocessing
    return of_preprocessing(model, find_size_px(model) or seen.size_px, seen, True)


def _take_features(path: Path, model: keras.Model) -> keras.Model:
    """Returns what a classifier is without its last dense layer, others as they are."""
    is_file = path.suffix not in WEIGHTS_ENDINGS
    kind: str = "features"
    if read_task(path) not in WITHOUT_CLASSES:
        loss = read_recorded_loss(path) if is_file else None
        # Refused are linear outputs that were trained by nothing that tells classes.
        with contextlib.suppress(ValueError):
            kind = find_output_meaning(model, loss=loss).kind
    if kind in _OF_IMAGES:
        return _features_of(model)
    shapes = [tuple(output.shape) for output in model.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][-1] is None:
        told = ", ".join(map(str, shapes))
        raise ValueError(
            f"it gives {told}, and features are (batch, channels): save the network "
            "with its pooling, as include_top=False, pooling='avg' builds it"
        )
    return model


def _features_of(model: keras.Model) -> keras.Model:
    whole = with_features(model)
    return keras.Model(whole.inputs[0], whole.outputs[0])
