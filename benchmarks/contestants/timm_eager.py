"""timm's model in PyTorch, channels last."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from contestants.with_torch import (
    build,
    device,
    device_peak_mb,
    inputs,
    kernels,
    synchronise,
    versions,
)

__all__ = ["device_peak_mb", "kernels", "prepare", "versions"]


def prepare(case: dict[str, Any], compiled: bool = False) -> Callable[[], Any]:
    """Returns the case's work."""
    import torch

    model = build(case)
    run = torch.compile(model) if compiled else model
    batch, labels = inputs(case)
    half = case["precision"] == "mixed_bfloat16"

    def precision() -> Any:
        if half:
            return torch.autocast(device(), torch.bfloat16)
        return contextlib.nullcontext()

    if case["work"] == "inference":
        model.eval()

        def classify() -> Any:
            with torch.inference_mode(), precision():
                result = run(batch).softmax(-1)
            return result.float().cpu()

        return classify
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05)

    def step() -> float:
        with precision():
            loss = torch.nn.functional.cross_entropy(run(batch).float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        synchronise()
        return float(loss.detach())

    return step
