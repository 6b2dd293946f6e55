"""What the contestants that start from timm's model share."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import torch

# torchvision's own operators are missing where its build does not fit PyTorch's;
# ConvNeXt needs none of them, but importing it names two.
try:
    import torchvision  # noqa: F401
except RuntimeError:
    _missing = torch.library.Library("torchvision", "DEF")
    _missing.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _missing.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm


def versions() -> dict[str, str]:
    """Returns the packages' versions."""
    return {"torch": torch.__version__, "timm": timm.__version__}


def device_peak_mb() -> float | None:
    """Returns the most memory that the device has held; None on a processor."""
    if not torch.cuda.is_available():
        return None
    return torch.cuda.max_memory_allocated() / 1e6


def device() -> str:
    """Returns the device of the work."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def synchronise() -> None:
    """Comes back when the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def kernels(call: Callable[[], Any], calls: int = 3) -> dict[str, float]:
    """Returns the seconds of each of the device's kernels in one call, by name.

    Args:
        call: The work, compiled already.
        calls: How many are profiled.
    """
    on_card = torch.cuda.is_available()
    kind = torch.profiler.ProfilerActivity.CUDA
    if not on_card:
        kind = torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[kind]) as profiler:
        for _ in range(calls):
            call()
    found: collections.Counter[str] = collections.Counter()
    for each in profiler.key_averages():
        spent = each.self_device_time_total if on_card else each.self_cpu_time_total
        found[each.key] += spent * 1e-6 / calls
    return {name: seconds for name, seconds in found.most_common() if seconds > 0}


def randomise(model: torch.nn.Module) -> None:
    """Gives every scale and offset a value that counts, as `with_keras` does."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                middle = 0.0 if name.endswith("bias") else 0.5
                parameter.uniform_(middle - 0.4, middle + 0.4)


def build(case: dict[str, Any]) -> torch.nn.Module:
    """Returns timm's model of the case with random weights, channels last."""
    torch.manual_seed(0)
    model = timm.create_model(case["model"], num_classes=case["classes"])
    randomise(model)
    return model.to(device(), memory_format=torch.channels_last)


def inputs(case: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns normalized images, channels last, and class numbers."""
    torch.manual_seed(0)
    size = case["size_px"]
    sides = (size, size) if isinstance(size, int) else size
    shape = (case["batch"], 3, *sides)
    images = torch.randn(shape).to(device(), memory_format=torch.channels_last)
    labels = torch.randint(0, case["classes"], (case["batch"],)).to(device())
    return images, labels
