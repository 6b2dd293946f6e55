"""`predict` with a detector: overlays, and predictions.json as COCO has it."""

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from tests.color_boxes import write_color_boxes
from training import predict_main

SIDE_PX = 64


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_color_boxes(tmp_path_factory.mktemp("model"), SIDE_PX)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two images of one name: a red and a blue rectangle, and nothing."""
    folder = tmp_path_factory.mktemp("images")
    pixels = np.zeros((SIDE_PX, 100, 3), np.uint8)
    for name in ("a", "b"):
        (folder / name).mkdir()
        Image.fromarray(pixels).save(folder / name / "cells.png")
    pixels[20:50, 10:40] = (255, 0, 0)
    pixels[30:60, 60:90] = (0, 0, 255)
    Image.fromarray(pixels).save(folder / "a" / "cells.png")
    (folder / "c.png").write_text("no image")
    return folder


def test_overlays_and_a_file_of_coco_are_written(model, images, tmp_path, capsys):
    flags = [f"--model={model}", f"--out={tmp_path}", str(images)]
    assert predict_main.main(["predict", *flags]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{images}/a/cells.png: 1 red, 1 blue",
        f"{images}/b/cells.png: nothing",
    ]
    assert f"error: {images}/c.png" in said.err
    with contextlib.redirect_stdout(io.StringIO()):
        written = COCO(tmp_path / "predictions.json")
    [first, second] = written.loadImgs(written.getImgIds())
    assert (first["file_name"], first["width"]) == (f"{images}/a/cells.png", 100)
    assert second["overlay"] == "overlays/cells_2.png"
    found = written.loadAnns(written.getAnnIds())
    assert {each["image_id"] for each in found} == {first["id"]}
    boxes = {each["category_id"]: each["bbox"] for each in found}
    assert boxes == {0: [10, 20, 30, 30], 2: [60, 30, 30, 30]}
    for each in found:
        x, y, width, height = map(int, each["bbox"])
        mask = written.annToMask(each)
        assert mask.sum() == mask[y : y + height, x : x + width].sum() == 900
        assert (each["area"], each["iscrowd"]) == (900, 0)
        assert each["score"] > 0.99
    [problem] = json.loads((tmp_path / "predictions.json").read_text())["problems"]
    assert problem["file_name"] == f"{images}/c.png"
    with Image.open(tmp_path / first["overlay"]) as overlay:
        pixels = np.asarray(overlay)
    # Pascal VOC's color of the first class around it, and its mix with red inside.
    assert pixels[49, 20].tolist() == [128, 0, 0]
    assert pixels[40, 25].tolist() == [round(0.6 * 255 + 0.4 * 128), 0, 0]
    assert pixels[5, 95].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "finds objects: say --out=FOLDER"),
        (["--out=seen", "--format=csv"], "--format=csv is for classifiers"),
    ],
)
def test_what_is_not_for_a_detector_is_refused_in_one_line(
    model, images, flags, words, capsys
):
    assert predict_main.main(["predict", f"--model={model}", *flags, str(images)]) == 2
    assert words in capsys.readouterr().err
