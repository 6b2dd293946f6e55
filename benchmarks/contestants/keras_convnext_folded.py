"""This library's model as `fold` gives it: what the export writes."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import keras

import keras_convnext
from contestants import with_keras
from contestants.keras_convnext_plain import build, versions

__all__ = ["inference", "prepare", "versions"]


def inference(
    build: Callable[[dict[str, Any]], keras.Model], case: dict[str, Any]
) -> Callable[[], Any]:
    """Returns a function that takes one batch through a folded model."""
    model = keras_convnext.fold(build(case))
    gc.collect()  # Keras models refer to themselves: the plain one is still there.
    return with_keras.inference(model, case)


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    return inference(build, case)
