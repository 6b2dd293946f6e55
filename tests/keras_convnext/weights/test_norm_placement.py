"""Where the last norm stands, and what timm calls it there."""

import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy

from keras_convnext import weights
from tests.keras_convnext.weights.reference_files import (
    SIZE_PX,
    build,
    find,
    save,
    tensors_of,
    values,
)


@pytest.mark.parametrize("wrap", [False, True], ids=["alone", "wrapped"])
@pytest.mark.parametrize("pooling", [None, "avg"])
def test_a_norm_before_the_pooling_keeps_timms_name_without_the_top(
    pooling: str | None, wrap: bool, tmp_path: Path, seeded: Callable
) -> None:
    reference = find("timm", "convnext_tiny_hnf")
    there = tensors_of(reference, seeded)
    there = {n: t for n, t in there.items() if not n.startswith("head.")}
    model = build(reference, include_top=False, pooling=pooling)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the file has no classifier
        weights.load(model, save(there, tmp_path / "a.safetensors"))
    if wrap:
        inputs = keras.Input((SIZE_PX, SIZE_PX, 3))
        model = keras.Model(inputs, keras.layers.Dense(2)(model(inputs)))
    back = weights.save_weights_as(model, tmp_path / "b.safetensors", dialect="timm")
    returned = safetensors.numpy.load_file(back)
    assert {n: t.shape for n, t in returned.items()} == {
        n: t.shape for n, t in there.items()
    }
    np.testing.assert_array_equal(returned["norm_pre.bias"], there["norm_pre.bias"])


@pytest.mark.parametrize(
    ("of", "into"),
    [
        ("convnext_tiny", "convnext_tiny_hnf"),
        ("convnext_tiny_hnf", "convnext_tiny"),
    ],
)
def test_a_norm_on_the_other_side_of_the_pooling_is_another_network(
    of: str, into: str, tmp_path: Path, seeded: Callable
) -> None:
    model = build(find("timm", into))
    before = values(model)
    path = save(tensors_of(find("timm", of), seeded), tmp_path / "a.safetensors")
    with pytest.raises(weights.WeightsMismatchError, match="last norm stands"):
        weights.load(model, path)
    for variable, value in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(variable, value)
