"""The sheet of images with masks: what training gets, in the colors of classes."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from keras_convnext.segmentation import overlay, palette_for
from tests.training.data.mask_files import CLASSES, colors, shapes, write_masks
from training import preview_main
from training.data import masks
from training.recipes.mask_augmentation import MaskAugmentation
from training.recipes.table import RECIPES
from training.report import mask_preview, preview

RECIPE = RECIPES["finetune_segment_small"]


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = {f"image_{number}": shapes(number, 24, 40) for number in range(5)}
    return masks.load(f"masks:{write_masks(tmp_path / 'a', made)}", size_px=16)


def test_the_draws_are_what_the_training_step_gets(monkeypatch, source):
    kept = []
    monkeypatch.setattr(
        preview, "draw_grid", lambda *parts, **more: kept.append((parts, more)) or b""
    )
    augment = MaskAugmentation(flip=True)
    recipe = replace(RECIPE, mask_augmentation=augment, seed=2)
    mask_preview.sheet(source, recipe, count=3, draws=2)
    [((rows, names, _), more)] = kept
    batch = source.train(4, epoch=0, seed=2, augment=augment)
    images, labels = next(batch.as_numpy_iterator())
    palette = palette_for(CLASSES)
    assert [len(row) for row in rows] == [4, 4, 4]
    for row, name in enumerate(names):
        mask = shapes(int(name[-1]))
        np.testing.assert_array_equal(rows[row][0], colors(mask))
        np.testing.assert_array_equal(
            rows[row][1], overlay(colors(mask), mask, palette)
        )
        np.testing.assert_array_equal(
            rows[row][2], overlay(images[row], labels[row], palette)
        )
    assert set(more["legend"]) == set(CLASSES)


def test_the_command_draws_a_png_of_as_many_cells_as_asked(source, tmp_path, capfd):
    out, folder = tmp_path / "sheet.png", source.name
    flags = ["--recipe=finetune_segment_small", f"--data={folder}", f"--out={out}"]
    flags += ["--set=size_px=16", "--set=mask_augmentation.photometric=false"]
    sizes = []
    for shape in (["--images=1", "--draws=1"], ["--images=4", "--draws=2"]):
        assert preview_main.main(["preview", *flags, *shape]) == 0
        with Image.open(out) as image:
            assert image.format == "PNG"
            sizes.append(image.size)
    assert sizes[1][0] > 1.2 * sizes[0][0]
    assert sizes[1][1] > 1.7 * sizes[0][1]
    assert "crop_max_share=0.75" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("recipe", "form", "words"),
    [
        ("finetune_segment_small", "folder:", "names no images with masks"),
        ("finetune_segment_small", "", "There is such a folder: --data=masks:"),
        ("demo", "masks:", "Recipes that segment take it"),
        ("demo", "folder:", "for recipes that segment it is --data=masks:"),
    ],
)
def test_data_of_another_task_is_refused_in_a_line(
    source, tmp_path, capfd, recipe, form, words
):
    data = f"--data={form}{source.name.removeprefix('masks:')}"
    flags = [f"--recipe={recipe}", data, f"--out={tmp_path}/sheet.png"]
    assert preview_main.main(["preview", *flags]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert words in line


def test_the_words_name_what_is_on():
    assert "place of the crop" in preview.in_words(MaskAugmentation())
    assert preview.in_words(MaskAugmentation(flip=True)) == "flip=True"
