"""Every one of timm's 98 names: a file that timm writes loads and gives timm's logits.

Needs torch and timm in this environment (`make parity` makes one). Networks of more
than WEIGHTS_FULL_DEPTH parameters (30 million unless set) have fewer blocks, at
their published widths. WEIGHTS_RECORD names a file that gets a line for each name
that passed; timm_live.csv, which docs/weights.md is made from, is such a file.
"""

import os
from collections.abc import Callable
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
NAMES = sorted(name for name, record in records().items() if record.publisher == "timm")
FULL_DEPTH = int(os.environ.get("WEIGHTS_FULL_DEPTH", "30000000"))
FEWER_BLOCKS, SIZE_PX = (1, 1, 2, 1), 64
# Two float32 implementations; the largest output is 1 on this scale.
TOLERANCE = 1e-4

REASON = "timm is not installed: see make parity"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("tests.keras_convnext.weights.oracle")  # before timm
timm = pytest.importorskip("timm", reason=REASON)
save_file = pytest.importorskip("safetensors.torch").save_file
load_file = pytest.importorskip("safetensors.torch").load_file


def timms(name: str, seeded: Callable) -> object:
    """Returns timm's network of that name, seeded."""
    variant = find_variant(records()[name].variant)
    fewer = {"depths": FEWER_BLOCKS} if variant.parameters > FULL_DEPTH else {}
    network = timm.create_model(name, pretrained=False, **fewer).eval()
    for tensor_name, tensor in network.state_dict().items():
        tensor.copy_(torch.from_numpy(seeded(tensor_name, tuple(tensor.shape))))
    return network


def record(name: str) -> None:
    """Notes that a name passed, and with which blocks."""
    if "WEIGHTS_RECORD" in os.environ:
        parameters = find_variant(records()[name].variant).parameters
        blocks = "fewer" if parameters > FULL_DEPTH else "all"
        with Path(os.environ["WEIGHTS_RECORD"]).open("a", encoding="utf-8") as file:
            file.write(f"{name},{blocks}\n")


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
    network = timms(name, seeded)
    path = tmp_path / "model.safetensors"
    save_file(network.state_dict(), path)
    numbers = np.random.default_rng(7).normal(size=(1, SIZE_PX, SIZE_PX, 3))
    image = numbers.astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(image).permute(0, 3, 1, 2)).numpy()

    model = ours(name, path)
    outputs = keras.ops.convert_to_numpy(model(image))
    assert outputs.shape == expected.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(outputs / scale, expected / scale, atol=TOLERANCE)

    back = weights.save_weights_as(model, tmp_path / "b.safetensors", dialect="timm")
    # Strict: every name and every shape, 1x1 convolutions among them.
    network.load_state_dict(load_file(back), strict=True)
    record(name)


def test_tiny_hnf_without_pooling_norms_its_map_as_timm_does(
    tmp_path: Path, seeded: Callable
) -> None:
    arguments = {"depths": FEWER_BLOCKS, "num_classes": 0, "global_pool": ""}
    network = timm.create_model("convnext_tiny_hnf", **arguments).eval()
    for name, tensor in network.state_dict().items():
        tensor.copy_(torch.from_numpy(seeded(name, tuple(tensor.shape))))
    save_file(network.state_dict(), tmp_path / "there.safetensors")
    numbers = np.random.default_rng(7).normal(size=(1, SIZE_PX, SIZE_PX, 3))
    image = numbers.astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(image).permute(0, 3, 1, 2))
    expected = expected.permute(0, 2, 3, 1).numpy()

    model = models.build(
        replace(find_variant("convnext_tiny_hnf"), depths=FEWER_BLOCKS),
        weights=tmp_path / "there.safetensors",
        include_top=False,
        include_preprocessing=False,
        input_shape=(SIZE_PX, SIZE_PX, 3),
    )
    outputs = keras.ops.convert_to_numpy(model(image))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(outputs / scale, expected / scale, atol=TOLERANCE)
    back = weights.save_weights_as(model, tmp_path / "b.safetensors", dialect="timm")
    network.load_state_dict(load_file(back), strict=True)
