"""The predict command of segmentation models: files of label maps."""

import contextlib
import json

import numpy as np
import pytest
from PIL import Image

from keras_convnext.segmentation import palette_for
from tests.keras_convnext.inference.test_segmenter import (
    NAMES,
    SIDE_PX,
    brightest_channel,
    random_image,
    write_model,
)
from training import predict_main
from training.inference.label_maps import LabelMapFolder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), brightest_channel())


@pytest.fixture
def images(tmp_path):
    """Two images of one name, which need no resizing, and a file that is none."""
    made = {"a/one.png": random_image(SIDE_PX, 50), "b/one.png": random_image(40, 32)}
    for name, pixels in made.items():
        (tmp_path / name).parent.mkdir()
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "b" / "two.png").write_bytes(b"no image")
    return made


def predict(model, out, *more):
    return predict_main.main(["", f"--model={model}", f"--out={out}", *map(str, more)])


def test_label_maps_overlays_and_shares_are_written(model, images, tmp_path, capsys):
    out = tmp_path / "out"
    names = [tmp_path / name for name in (*images, "b/two.png")]
    assert predict(model, out, *names) == 0
    said, errors = capsys.readouterr()
    record = json.loads((out / "predictions.json").read_text())
    assert record["classes"] == list(NAMES)
    assert record["colors"] == palette_for(NAMES).tolist()
    *found, damaged = record["images"]
    for entry, name, pixels in zip(found, names, images.values(), strict=False):
        label_map = np.asarray(Image.open(out / entry["label_map"]))
        overlay = np.asarray(Image.open(out / entry["overlay"]))
        expected = pixels.argmax(-1)
        np.testing.assert_array_equal(label_map, expected)
        # Half of the image and half of the class's color.
        mixed = (pixels + palette_for(NAMES)[expected].astype(float)) / 2
        np.testing.assert_allclose(overlay, mixed, atol=0.5)
        assert entry["image"] == str(name)
        assert (entry["height"], entry["width"]) == expected.shape
        shares = {name: np.mean(expected == n) for n, name in enumerate(NAMES)}
        assert entry["shares"] == pytest.approx(shares)
        best = max(shares, key=shares.get)
        assert next(iter(entry["shares"])) == best
        assert f"  {best:<5}  {shares[best]:7.2%}" in said
    assert [entry["label_map"] for entry in found] == [
        "label_maps/one.png",
        "label_maps/one_2.png",
    ]
    assert "two.png" in damaged["problem"]
    assert damaged["problem"] in errors
    written = sorted(path.name for path in (out / "overlays").iterdir())
    assert written == ["one.png", "one_2.png"]


def test_json_is_what_the_file_holds(model, images, tmp_path, capsys):
    assert predict(model, tmp_path / "out", "--format=json", tmp_path / "a") == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((tmp_path / "out" / "predictions.json").read_text())


def test_without_a_label_map_the_exit_code_is_2(model, images, tmp_path):
    assert predict(model, tmp_path / "out", tmp_path / "b" / "two.png") == 2


def test_more_than_255_classes_are_written_with_16_bits(tmp_path):
    labels = [f"class {number}" for number in range(300)]
    folder = LabelMapFolder(tmp_path, labels, palette_for(labels))
    label_map = np.array([[299, 0]], np.int32)
    made = folder.write("x.png", np.zeros((1, 2, 3), "uint8"), label_map)
    found = np.asarray(Image.open(tmp_path / "label_maps" / f"{made.stem}.png"))
    assert found.tolist() == [[299, 0]]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "say --out=FOLDER"),
        (["--out=file"], "cannot be written"),
        (["--out=x", "--format=csv"], "--format=csv is for classifiers"),
    ],
)
def test_a_mistake_is_one_line(model, images, tmp_path, capsys, flags, words):
    (tmp_path / "file").touch()
    named = ["", f"--model={model}", *flags, str(tmp_path / "a")]
    with contextlib.chdir(tmp_path):
        assert predict_main.main(named) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
