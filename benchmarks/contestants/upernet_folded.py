"""This library's UPerNet as `fold` gives it: what the export writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras_convnext
from contestants import with_keras
from contestants.upernet_plain import build, versions

__all__ = ["prepare", "versions"]


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    return with_keras.inference(keras_convnext.fold(build(case)), case)
