"""A published checkpoint as what is exported: `convnext_tiny.fb_in1k`."""

from __future__ import annotations

import hashlib

import keras_convnext
from keras_convnext import weights
from keras_convnext.labels import class_names

from .console import Failure, Mistake
from .source import Source


def load(name: str) -> Source:
    """Fetches a checkpoint and builds its model.

    Args:
        name: "arch.tag", one of `keras_convnext.weights.list_weights()`.

    Raises:
        Mistake: There is no such checkpoint, or it has no classes.
        Failure: It cannot be fetched or read.
    """
    try:
        record = weights.find(name)
    except ValueError as error:
        raise Mistake(str(error)) from error
    if record.labels is None:
        raise Mistake(
            f"{name} is no classifier (it has {record.classes} outputs that stand for "
            "no classes): only classifiers are exported"
        )
    try:
        model = keras_convnext.create(record.name)
    except (OSError, ValueError) as error:
        raise Failure(f"{name} could not be loaded: {error}") from error
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(array.tobytes())
    return Source(
        name=record.name,
        model=model,
        labels=tuple(label for _, label in class_names(record.classes)),
        preprocessing=record.preprocessing,
        sha256=digest.hexdigest(),
        licence=record.licence,
    )
