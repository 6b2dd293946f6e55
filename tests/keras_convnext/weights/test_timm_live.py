"""Every one of timm's 98 names: a file that timm writes loads and gives timm's logits.

Needs torch and timm in this environment (`make parity` makes one). Networks of more
than WEIGHTS_FULL_DEPTH parameters (30 million unless set) have fewer blocks, at
their published widths.
"""

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_convnext
from keras_convnext import models, weights
from keras_convnext.variants import find_variant
from keras_convnext.weights.registry import records

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
NAMES = sorted(name for name, record in records().items() if record.publisher == "timm")
FULL_DEPTH = int(os.environ.get("WEIGHTS_FULL_DEPTH", "30000000"))
FEWER_BLOCKS, SIZE_PX = (1, 1, 2, 1), 64
# Two float32 implementations; the largest output is 1 on this scale.
TOLERANCE = 1e-4

if importlib.util.find_spec("timm") is None:
    pytest.skip("timm is not installed: see make parity", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def _importable() -> Iterator[None]:
    """Lets timm be imported where torchvision lacks its compiled part."""
    spec = importlib.util.spec_from_file_location("oracle", HERE / "oracle.py")
    module = importlib.util.module_from_spec(spec)
    with contextlib.suppress(RuntimeError):  # the operators exist already
        spec.loader.exec_module(module)
    yield
    del module  # its operators live as long as it does


def timms(name: str, seeded: Callable) -> object:
    """Returns timm's network of that name, seeded."""
    import timm
    import torch

    variant = find_variant(records()[name].variant)
    fewer = {"depths": FEWER_BLOCKS} if variant.parameters > FULL_DEPTH else {}
    network = timm.create_model(name, pretrained=False, **fewer).eval()
    state = network.state_dict()
    network.load_state_dict(
        {n: torch.from_numpy(seeded(n, tuple(t.shape))) for n, t in state.items()}
    )
    return network


def ours(name: str, path: Path) -> keras.Model:
    record = weights.find(name)
    variant = find_variant(record.variant)
    arguments = {"include_preprocessing": False, "input_shape": (SIZE_PX, SIZE_PX, 3)}
    if record.classes:
        arguments["classifier_activation"] = None
    if variant.parameters <= FULL_DEPTH:
        return keras_convnext.create(name, weights=path, **arguments)
    if record.classes:
        arguments["classes"] = record.classes
    else:
        arguments |= {"include_top": False, "pooling": "avg"}
    fewer = replace(variant, depths=FEWER_BLOCKS)
    return models.build(fewer, weights=path, **arguments)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_timm_loads_and_gives_timms_logits(
    name: str, tmp_path: Path, seeded: Callable
) -> None:
    import safetensors.torch
    import torch

    network = timms(name, seeded)
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    numbers = np.random.default_rng(7).normal(size=(1, SIZE_PX, SIZE_PX, 3))
    picture = numbers.astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(picture).permute(0, 3, 1, 2)).numpy()

    model = ours(name, path)
    outputs = keras.ops.convert_to_numpy(model(picture))
    assert outputs.shape == expected.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(outputs / scale, expected / scale, atol=TOLERANCE)

    back = weights.save_weights_as(model, tmp_path / "b.safetensors", dialect="timm")
    # Strict: every name and every shape, 1x1 convolutions among them.
    network.load_state_dict(safetensors.torch.load_file(back), strict=True)
