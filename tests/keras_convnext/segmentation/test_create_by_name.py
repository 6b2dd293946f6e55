"""From a published UPerNet's name to a model, in each family's own kind of file."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

import keras_convnext
from keras_convnext.segmentation import checkpoints
from keras_convnext.weights import hub
from tests.checks import random_images
from tests.keras_convnext.weights.torch_writer import torch_save

SMALL = {"input_shape": (64, 64, 3), "head_channels": 16}


def filled(model):
    """The model with random numbers in every variable."""
    random = np.random.default_rng(0)
    for variable in model.weights:
        if len(variable.shape) > 1:
            size = np.prod(variable.shape[:-1]) ** -0.5
            variable.assign(random.normal(0, size, variable.shape))
        elif "seed" not in variable.path:
            variable.assign(random.uniform(0.5, 1.0, variable.shape))
    return model


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("upernet_convnext_tiny.ade20k_512", "mmseg"),
        pytest.param(
            *("upernet_convnext_base.meta_ade20k_640", "meta"), marks=pytest.mark.slow
        ),
        ("upernet_convnext_large.hf_ade20k", "huggingface"),
        pytest.param(
            *("upernet_convnext_tiny.smp_ade20k", "smp"), marks=pytest.mark.slow
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:The weights have none for auxiliary")
def test_a_name_becomes_the_model_that_was_published(
    name, dialect, tmp_path, monkeypatch
):
    record = checkpoints.find(name)
    original = filled(
        keras_convnext.UPerNet(
            "convnext_atto", 150, auxiliary_head=dialect != "smp", **SMALL
        )
    )
    path = tmp_path / record.weights.publisher / record.weights.files[0]
    path.parent.mkdir()
    written = tmp_path / "written.safetensors"
    keras_convnext.save_weights_as(original, written, dialect)
    if path.suffix == ".pth":
        torch_save({"meta": {"epoch": 1}, "state_dict": load_file(written)}, path)
    else:
        written.rename(path)
    # Small, and already fetched.
    weights = replace(record.weights, variant="convnext_atto")
    if weights.checksum:
        digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        weights = replace(weights, checksum=f"sha256:{digits}")
    small = replace(record, weights=weights)
    monkeypatch.setitem(checkpoints.records(), name, small)
    monkeypatch.setenv("KERAS_CONVNEXT_HOME", str(tmp_path))
    monkeypatch.setattr(hub, "download_from_hub", lambda *_, **__: path)

    images = random_images(2, 64)
    model = keras_convnext.create(name, **SMALL)
    np.testing.assert_array_equal(model(images), original(images))
    assert model.output_shape == (None, 64, 64, 150)
