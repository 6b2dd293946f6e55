"""Names that have changed: the old ones still work, with a warning."""

from __future__ import annotations

import importlib
import sys

import keras
import pytest

import keras_convnext
from keras_convnext import folding, hub, layers, weights
from keras_convnext._renamed import renamed_arguments


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        (layers, "UnitScale", "ScaleByInverseStd"),
        (weights, "Record", "PretrainedWeights"),
        (folding, "unfolded", "folding_report"),
    ],
)
def test_an_old_name_gives_the_new_thing_and_warns(module, old, new):
    with pytest.warns(DeprecationWarning, match=f"{old} is now called .*{new}"):
        assert getattr(module, old) is getattr(module, new)


def test_a_name_that_never_was_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'UnitScales'"):
        layers.UnitScales  # noqa: B018


def test_the_old_module_of_the_hub_gives_its_functions_and_warns():
    sys.modules.pop("keras_convnext.sharing", None)
    with pytest.warns(DeprecationWarning, match=r"keras_convnext\.hub"):
        old = importlib.import_module("keras_convnext.sharing")
    assert old.push_to_hub is hub.push_to_hub
    assert old.pull_from_hub is hub.pull_from_hub


def test_an_old_argument_arrives_under_its_new_name():
    @renamed_arguments(licence="license")
    def terms(*, license: str) -> str:
        return license

    with pytest.warns(DeprecationWarning, match=r"terms\(licence=\).*license="):
        assert terms(licence="mit") == "mit"
    assert terms(license="mit") == "mit"


def test_a_published_checkpoint_has_its_license_under_both_names():
    found = weights.find("convnext_tiny.fb_in1k")
    assert found.license
    with pytest.warns(DeprecationWarning, match="license"):
        assert found.licence == found.license


def written_by_version_0_1(module: str, name: str, config: dict) -> dict:
    """What a .keras file holds of one object."""
    return {
        "module": f"keras_convnext.{module}",
        "class_name": name,
        "config": config,
        "registered_name": f"keras_convnext>{name}",
    }


def test_files_of_version_0_1_load_although_classes_have_new_names():
    layer = keras.saving.deserialize_keras_object(
        written_by_version_0_1(
            "layers.unit_scale",
            "UnitScale",
            {"name": "stem_norm", "norm": "rms", "epsilon": 1e-5},
        )
    )
    assert type(layer) is keras_convnext.layers.ScaleByInverseStd
    assert (layer.name, layer.norm, layer.epsilon) == ("stem_norm", "rms", 1e-5)
    normal = keras.saving.deserialize_keras_object(
        written_by_version_0_1(
            "initializers", "TableNormal", {"mean": 0.5, "stddev": 0.02, "seed": 7}
        )
    )
    assert type(normal) is keras.initializers.RandomNormal
    assert (normal.mean, normal.stddev, normal.seed) == (0.5, 0.02, 7)
    constant = keras.saving.deserialize_keras_object(
        written_by_version_0_1("initializers", "Constant", {"value": 0.5})
    )
    assert type(constant) is keras.initializers.Constant
    assert constant.value == 0.5
