"""timm's model through ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from contestants import with_torch


def versions() -> dict[str, str]:
    """Returns the packages' versions."""
    return {**with_torch.versions(), "onnxruntime": onnxruntime.__version__}


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    images, _ = with_torch.inputs(case)
    images = images.contiguous()
    network = torch.nn.Sequential(
        with_torch.build(case).to(memory_format=torch.contiguous_format).eval(),
        torch.nn.Softmax(-1),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(network, (images,), path, input_names=["pictures"])
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    values = {"pictures": images.numpy()}
    return lambda: session.run(None, values)[0]
