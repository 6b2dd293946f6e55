"""Folders of transformers and timm: class names and normalization count, too."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from keras_convnext import weights
from keras_convnext.preprocessing import Preprocessing
from keras_convnext.weights.errors import BadWeightsFileError
from keras_convnext.weights.side_files import read_side_files

NAMES = ("daisy", "rose", "tulip")
HALF = (0.5, 0.5, 0.5)
HALVES = {"image_mean": list(HALF), "image_std": list(HALF)}
# With the keys in an order in which text would be sorted wrongly.
CONFIG = {
    "model_type": "convnext",
    "id2label": {"2": "tulip", "0": "daisy", "1": "rose"},
}


def write(folder: Path, **files: object) -> Path:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("processor", "wanted"),
    [
        # transformers' ConvNextImageProcessor, below 384 pixels and from there on.
        (
            {**HALVES, "crop_pct": 0.9, "size": {"shortest_edge": 224}, "resample": 3},
            Preprocessing(224, HALF, HALF, 0.9, "center", "bicubic"),
        ),
        (
            {**HALVES, "crop_pct": 0.9, "size": {"shortest_edge": 384}, "resample": 2},
            Preprocessing(384, HALF, HALF, 1.0, "squash", "bilinear"),
        ),
        # Its ViTImageProcessor squashes; its BitImageProcessor cuts a crop_size out.
        (
            {**HALVES, "size": {"height": 256, "width": 256}},
            Preprocessing(256, HALF, HALF, 1.0, "squash", "bicubic"),
        ),
        (
            {
                **HALVES,
                "size": {"shortest_edge": 256},
                "do_center_crop": True,
                "crop_size": {"height": 192, "width": 192},
            },
            Preprocessing(192, HALF, HALF, 0.75, "center", "bicubic"),
        ),
        # Old files have a bare number. Scaled by 1/127.5, a mean of 1 is a half.
        (
            {
                "image_mean": [1.0] * 3,
                "image_std": [1.0] * 3,
                "rescale_factor": 1 / 127.5,
                "size": 224,
            },
            Preprocessing(224, HALF, HALF, 0.875, "center", "bicubic"),
        ),
        (
            {"do_normalize": False, "size": 224},
            Preprocessing(224, (0.0,) * 3, (1.0,) * 3, 0.875, "center", "bicubic"),
        ),
    ],
)
def test_a_processor_of_transformers_is_understood(
    processor: dict, wanted: Preprocessing, tmp_path: Path
) -> None:
    write(tmp_path, config=CONFIG, preprocessor_config=processor)
    assert read_side_files(tmp_path).preprocessing == wanted
    assert read_side_files(tmp_path / "model.safetensors").labels == NAMES


def test_a_folder_of_timm_is_understood(tmp_path: Path) -> None:
    given = {
        "mean": list(HALF),
        "std": list(HALF),
        "input_size": [3, 288, 288],
        "crop_pct": 0.95,
        "crop_mode": "center",
        "interpolation": "bilinear",
    }
    write(tmp_path, config={"label_names": list(NAMES), "pretrained_cfg": given})
    beside = read_side_files(tmp_path)
    assert beside.labels == NAMES
    wanted = Preprocessing(288, HALF, HALF, 0.95, "center", "bilinear")
    assert beside.preprocessing == wanted


def test_a_folder_without_or_with_other_files_says_nothing(tmp_path: Path) -> None:
    assert read_side_files(tmp_path) == read_side_files(tmp_path / "a.pth")
    assert read_side_files(write(tmp_path, config=["of", "another"])).labels == ()
    assert read_side_files(write(tmp_path, config={"a": 1})).preprocessing is None


@pytest.mark.parametrize(
    "content", ["{", '{"id2label": {"a": "b"}}', '{"id2label": 3}']
)
def test_a_garbled_file_is_refused_in_a_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(BadWeightsFileError, match=r"config\.json") as caught:
        read_side_files(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.fixture
def folder(mini: Callable, tmp_path: Path) -> Path:
    weights.save_weights_as(
        mini(classes=3), tmp_path / "model.safetensors", "huggingface"
    )
    return write(tmp_path, config=CONFIG, preprocessor_config={**HALVES, "size": 224})


def test_a_model_built_from_a_folder_normalizes_and_names_as_it_says(
    folder: Path, mini: Callable
) -> None:
    model = mini(classes=3, weights=str(folder))
    layer = model.get_layer("input_normalization")
    np.testing.assert_allclose(np.ravel(layer.mean), 127.5)
    np.testing.assert_allclose(np.ravel(layer.variance), 127.5**2)
    assert model.class_names == NAMES
    assert not hasattr(mini(classes=4, weights=str(folder)), "class_names")


@pytest.mark.parametrize("inside", [True, False])
def test_another_normalization_than_the_folders_is_told(
    inside: bool, folder: Path, mini: Callable
) -> None:
    model = mini(classes=3, include_preprocessing=inside)
    said = "in another way than" if inside else "has no layer that does so"
    with pytest.warns(UserWarning, match=said):
        report = weights.load(model, folder)
    assert report.labels == NAMES
    again = mini(classes=3, preprocessing=report.preprocessing)
    assert weights.load(again, folder).notes == ()
