"""Networks of the real writers and of this library, for the live comparisons.

Skips whoever imports it where torch, timm, torchvision or transformers are missing.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_convnext import models, weights
from keras_convnext.variants import find_variant

HERE = Path(__file__).parent
META_KEYS = HERE.parents[3] / "shared/reference/meta_keys.json"
FULL_DEPTH = int(os.environ.get("WEIGHTS_FULL_DEPTH", "30000000"))
FEWER_BLOCKS, SIZE_PX, CLASSES = (1, 1, 2, 1), 64, 1000
# Two float32 implementations; the largest output is 1 on this scale.
TOLERANCE = 1e-4


def installed(package: str) -> Any:
    """Imports a package, or skips the file."""
    reason = f"{package} is not installed: see make parity"
    return pytest.importorskip(package, reason=reason)


torch = installed("torch")
installed("tests.keras_convnext.weights.oracle")  # before timm and torchvision
timm = installed("timm")
torchvision = installed("torchvision")
transformers = installed("transformers")
save_file = installed("safetensors.torch").save_file
load_file = installed("safetensors.torch").load_file
# timm's own reader of what Meta and OpenCLIP published.
checkpoint_filter_fn = installed("timm.models.convnext").checkpoint_filter_fn


def image() -> np.ndarray:
    numbers = np.random.default_rng(7).normal(size=(1, SIZE_PX, SIZE_PX, 3))
    return numbers.astype(np.float32)


def outputs_of(network: torch.nn.Module) -> np.ndarray:
    """Returns a network's logits for the image, or its pooled features."""
    with torch.no_grad():
        result = network(torch.from_numpy(image()).permute(0, 3, 1, 2))
    for name in ("logits", "pooler_output"):
        result = getattr(result, name, result)
    return result.numpy()


def fill(network: torch.nn.Module, seeded: Callable) -> torch.nn.Module:
    """Gives every tensor of a network its seeded numbers."""
    for name, tensor in network.state_dict().items():
        tensor.copy_(torch.from_numpy(seeded(name, tuple(tensor.shape))))
    return network.eval()


def depths_of(variant: str) -> tuple[int, ...]:
    found = find_variant(variant)
    return found.depths if found.parameters <= FULL_DEPTH else FEWER_BLOCKS


def ours(variant: str, *, headless: bool = False, **arguments: Any) -> keras.Model:
    """Builds this library's network, with the blocks that the other side has."""
    shape = find_variant(variant)
    if len(shape.depths) > 1:
        shape = replace(shape, depths=depths_of(variant))
    if headless:
        arguments = {"include_top": False, "pooling": "avg"} | arguments
    else:
        arguments = {"classes": CLASSES, "classifier_activation": None} | arguments
    return models.build(
        shape,
        include_preprocessing=False,
        input_shape=(SIZE_PX, SIZE_PX, 3),
        seed=0,
        **arguments,
    )


def load(model: keras.Model, source: Path, dialect: str) -> weights.Report:
    """Loads a file, whose dialect must be recognized and every tensor be used."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        report = weights.load(model, source)
    assert report.dialect == dialect
    assert report.kept == report.dropped == ()
    return report


def assert_same(outputs: Any, expected: np.ndarray) -> None:
    outputs = np.asarray(keras.ops.convert_to_numpy(outputs))
    assert outputs.shape == expected.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(outputs / scale, expected / scale, atol=TOLERANCE)
