"""timm's model through OpenVINO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openvino
import torch

from contestants import with_torch

PRECISIONS = {"float32": "f32", "mixed_bfloat16": "bf16"}


def versions() -> dict[str, str]:
    """Returns the packages' versions."""
    return {**with_torch.versions(), "openvino": openvino.__version__}


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    images, _ = with_torch.inputs(case)
    images = images.contiguous()
    network = torch.nn.Sequential(
        with_torch.build(case).to(memory_format=torch.contiguous_format).eval(),
        torch.nn.Softmax(-1),
    )
    with torch.no_grad():
        converted = openvino.convert_model(
            network, example_input=images, input=list(images.shape)
        )
    compiled = openvino.Core().compile_model(
        converted,
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS[case["precision"]],
        },
    )
    values = images.numpy()
    return lambda: compiled([values])[0]
