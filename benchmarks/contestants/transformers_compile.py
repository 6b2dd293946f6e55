"""Hugging Face's UPerNet in PyTorch, channels last, through `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contestants import transformers_eager
from contestants.transformers_eager import versions

__all__ = ["prepare", "versions"]


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    return transformers_eager.prepare(case, compiled=True)
