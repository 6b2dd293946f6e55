"""This library's Mask R-CNN as `fold` gives it: what the export writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contestants.detector_plain import build, versions
from contestants.keras_convnext_folded import inference

__all__ = ["prepare", "versions"]


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    return inference(build, case)
