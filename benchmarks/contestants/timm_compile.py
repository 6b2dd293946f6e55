"""timm's model in PyTorch, channels last, through `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contestants import timm_eager
from contestants.with_torch import device_peak_mb, kernels, versions

__all__ = ["device_peak_mb", "kernels", "prepare", "versions"]


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    return timm_eager.prepare(case, compiled=True)
