"""The sheet of augmented images: what the training step gets, row by row."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from training import preview_main
from training.recipes.augmentation import Augmentation
from training.recipes.table import RECIPES
from training.report import preview

PLAIN = replace(RECIPES["demo"], size_px=16, augmentation=Augmentation())


def drawn(monkeypatch, source, recipe, images=4, draws=3):
    """What is handed on to be drawn: images, names and captions."""
    kept = []
    monkeypatch.setattr(preview, "draw_grid", lambda *parts: kept.append(parts) or b"")
    preview.sheet(source, recipe, images, draws)
    return kept[0]


def test_the_columns_are_what_the_training_step_gets(monkeypatch, tiny_source):
    recipe = replace(PLAIN, augmentation=Augmentation(shift_px=3, random_erasing=0.5))
    images, names, captions = drawn(monkeypatch, tiny_source, recipe)
    assert images.shape == (4, 4, 16, 16, 3)
    # The first step of a run with this seed, in batches of any size.
    batch, labels = next(
        tiny_source.train(
            10, epoch=0, seed=recipe.seed, augment=recipe.augmentation
        ).as_numpy_iterator()
    )
    np.testing.assert_array_equal(images[:, 1], batch[:4])
    assert names == [tiny_source.classes[label] for label in labels[:4]]
    assert not any(map(any, captions))
    # The bar that tells the class is in the plain image, and the draws differ.
    for image, name in zip(images[:, 0], names, strict=True):
        bar = 2 + 5 * tiny_source.classes.index(name)
        assert image[:, bar : bar + 2].min() >= 130
    assert (images[:, 1] != images[:, 2]).any()


def test_nothing_is_changed_where_the_recipe_changes_nothing(monkeypatch, tiny_source):
    images, _, _ = drawn(monkeypatch, tiny_source, PLAIN)
    for column in (1, 2, 3):
        np.testing.assert_array_equal(images[:, column], images[:, 0])
    assert preview.in_words(PLAIN.augmentation).startswith("no augmentation")


def test_mixed_images_say_what_they_are_made_of(monkeypatch, tiny_source):
    recipe = replace(PLAIN, augmentation=Augmentation(mixup=8.0, repeats=3))
    images, names, captions = drawn(monkeypatch, tiny_source, recipe, images=6)
    for row, name in enumerate(names):
        partner = names[len(names) - 1 - row]
        plain, other = images[row, 0].astype(float), images[-1 - row, 0].astype(float)
        for column, caption in enumerate(captions[row], start=1):
            shares = dict(reversed(line.split("% ")) for line in caption.split("\n"))
            assert set(shares) == {name, partner}
            share = float(shares[name]) / 100 if name != partner else 0.5
            mixture = share * plain + (1 - share) * other
            if name != partner:
                # The share is told to the nearest percent.
                assert np.abs(images[row, column] - mixture).max() <= 0.006 * 255 + 1


def test_the_command_draws_a_png_of_as_many_cells_as_asked(tmp_path, capfd, bars):
    out = tmp_path / "sheet.png"
    flags = ["--recipe=scratch_small", f"--data=array:{bars}", f"--out={out}"]
    sizes = []
    # --pictures is the old name of --images.
    for shape in (["--pictures=2", "--draws=2"], ["--images=4", "--draws=5"]):
        assert preview_main.main(["preview", *flags, "--set=size_px=16", *shape]) == 0
        with Image.open(io.BytesIO(out.read_bytes())) as image:
            assert image.format == "PNG"
            sizes.append(image.size)
    assert sizes[1][0] > 1.5 * sizes[0][0]
    assert sizes[1][1] > 1.7 * sizes[0][1]
    told = capfd.readouterr().out
    assert "flip=True, shift_px=4\n" in told
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


@pytest.fixture
def bars(tmp_path_factory):
    rng = np.random.default_rng(0)
    arrays = {
        f"{part}_{what}": value
        for part in ("train", "test")
        for what, value in (
            ("images", rng.integers(0, 256, (6, 16, 16, 3)).astype(np.uint8)),
            ("labels", np.arange(6) % 2),
        )
    }
    path = tmp_path_factory.mktemp("bars") / "bars.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--out=a.jpg"], "must be a .png file in a folder that is there"),
        (["--out=/nowhere/a.png"], "must be a .png file in a folder that is there"),
        (["--recipe=demmo"], "there is no recipe called 'demmo'"),
        (["--set=epoch=3"], "no field 'epoch'"),
        (["--images=0"], "--images"),
        (["--data="], "--data must be given"),
    ],
)
def test_mistakes_are_one_line(bars, tmp_path, capfd, flags, words):
    given = ["--recipe=demo", f"--data=array:{bars}", f"--out={tmp_path}/a.png"]
    assert preview_main.main(["preview", *given, *flags]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert words in line
    assert not list(tmp_path.iterdir())
