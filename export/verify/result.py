"""What every proof of an exported file has, whatever the file answers with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Result(Protocol):
    """How an exported file compares with Keras, and what it costs."""

    @property
    def latency_ms(self) -> Mapping[str, float]:
        """The "p50" and "p95" of a call with one image."""

    @property
    def load_ms(self) -> float:
        """Time from opening the file until it can answer."""

    @property
    def peak_memory_mb(self) -> float | None:
        """The most memory that the process held, if the system tells."""

    @property
    def problems(self) -> list[str]:
        """What must not be, a line each; empty when the file is good."""
