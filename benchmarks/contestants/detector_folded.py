"""This library's Mask R-CNN as `fold` gives it: what the export writes."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import keras_convnext
from contestants.detector_plain import build, inference, versions

__all__ = ["prepare", "versions"]


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    model = keras_convnext.fold(build(case))
    gc.collect()  # Keras models refer to themselves: the plain one is still there.
    return inference(model, case)
