"""What every proof of an exported file has, whatever the file answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Result:
    """How an exported file compares with Keras, and what it costs.

    Attributes:
        latency_ms: "p50" and "p95" of a call with one image of the model's size.
        load_ms: Time from opening the file until it can answer.
        peak_memory_mb: The most memory that the process held; `None` where the system
            does not tell.
        arithmetic: What the runtime said that it computed in, where it says so.
        problems: What must not be, a line each; empty when the file is good.
    """

    latency_ms: Mapping[str, float]
    load_ms: float
    peak_memory_mb: float | None
    arithmetic: str | None = None
    problems: list[str] = field(default_factory=list)


def costs(answers: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns the fields of a `Result` that say what a file costs.

    Args:
        answers: Of the process that ran it.
    """
    p50, p95 = np.percentile(answers["latencies_ms"], (50, 95))
    peak = answers["peak_bytes"] / 1e6
    return {
        "arithmetic": str(answers["arithmetic"]) if "arithmetic" in answers else None,
        "latency_ms": {"p50": round(float(p50), 3), "p95": round(float(p95), 3)},
        "load_ms": round(float(answers["load_ms"]), 1),
        "peak_memory_mb": round(float(peak), 1) if np.isfinite(peak) else None,
    }
