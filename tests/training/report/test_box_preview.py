"""The sheet of images with objects: what training gets, boxes and masks drawn."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.training.data.coco_files import content, write_coco
from training import preview_main
from training.data import boxes
from training.recipes.box_augmentation import BoxAugmentation
from training.recipes.table import RECIPES
from training.report import box_preview, preview

RECIPE = RECIPES["finetune_detect_small"]
SQUARE = BoxAugmentation(jitter=(0.5, 1.0))


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return boxes.load(f"coco:{write_coco(tmp_path / 'a', content(5))}", size_px=32)


def test_objects_are_drawn_in_the_colors_of_their_classes():
    image = np.full((8, 9, 3), 100, np.uint8)
    mask = np.zeros((2, 8, 9), np.uint8)
    mask[0, 3:5, 3:6] = 1
    truth = {
        "boxes": np.float32([[1, 2, 7, 8], [0, 0, 0, 0]]),
        "classes": np.int32([1, -1]),
        "masks": mask,
    }
    palette = np.uint8([[0, 0, 0], [250, 0, 0]])
    found = box_preview.draw_objects(image, truth, palette)
    expected = image.copy()
    expected[3:5, 3:6] = [160, 60, 60]
    frame = np.zeros((8, 9), bool)
    frame[1:7, 2:8] = True
    frame[2:6, 3:7] = False
    expected[frame] = palette[1]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(image, 100)


def test_the_draws_are_what_the_training_step_gets(monkeypatch, source):
    kept = []
    monkeypatch.setattr(
        preview, "draw_grid", lambda *parts, **more: kept.append((parts, more)) or b""
    )
    monkeypatch.setattr(box_preview, "draw_objects", lambda image, *_: image)
    recipe = replace(RECIPE, box_augmentation=SQUARE, seed=2)
    box_preview.sheet(source, recipe, count=3, draws=2)
    [((rows, names, _), more)] = kept
    [(batch, _)] = source.train(4, epoch=0, seed=2, augment=SQUARE).as_numpy_iterator()
    assert [len(row) for row in rows] == [4, 4, 4]
    for row, name in enumerate(names):
        assert rows[row][0].shape == ((24, 40, 3), (40, 24, 3))[int(name) % 2]
        np.testing.assert_array_equal(rows[row][2], batch[row])
    assert set(more["legend"]) == {"square", "bar"}


def test_the_command_draws_a_png_of_open_sizes(source, tmp_path, capfd):
    out = tmp_path / "sheet.png"
    flags = ["--recipe=finetune_detect_small", f"--data={source.name}", f"--out={out}"]
    flags += ["--set=size_px=32", "--set=box_augmentation.jitter=none"]
    assert preview_main.main(["preview", *flags, "--images=2", "--draws=1"]) == 0
    with Image.open(out) as image:
        assert image.format == "PNG"
    assert "flip=True" in capfd.readouterr().out
