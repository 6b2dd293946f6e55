"""Class folders as people have them: nested, doubled, renamed, in odd spellings."""

import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_convnext._messages import UsageError
from training import data
from training.data import image_files
from training.workdir.layout import Workdir

SIZE_PX = 16


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def fill():
    """Returns a function that writes images, no two alike, into a folder."""
    generator = np.random.default_rng(0)

    def write(folder: Path | str, count: int, suffix: str = ".png") -> list[Path]:
        os.makedirs(folder, exist_ok=True)
        files = [Path(folder) / f"{number}{suffix}" for number in range(count)]
        for file in files:
            noise = generator.integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(noise).save(file)
        return files

    return write


def load(root: Path, **options) -> data.Source:
    return data.load(f"folder:{root}", size_px=SIZE_PX, **options)


def total(source: data.Source) -> int:
    return source.train_examples + source.validation_examples


def refusal(root: Path) -> str:
    with pytest.raises(data.DataError) as caught:
        load(root)
    return str(caught.value)


def test_images_in_folders_inside_class_folders_are_their_classs(tmp_path, fill):
    for label in ("healthy", "ill"):
        fill(tmp_path / label, 2)
        fill(tmp_path / label / "p1", 3)
        fill(tmp_path / label / "p2" / "left", 1)
    source = load(tmp_path)
    assert source.classes == ("healthy", "ill")
    assert total(source) == 12
    [line] = source.notices
    assert "count as their class's: healthy/p1, healthy/p2/left, ill/p1" in line
    assert "If left, p1 are the classes" in line


def test_a_link_to_the_folder_above_is_followed_once(tmp_path, fill):
    fill(tmp_path / "a", 2)
    fill(tmp_path / "elsewhere", 2)
    root = tmp_path / "root"
    root.mkdir()
    fill(root / "b", 2)
    (root / "a").symlink_to(tmp_path / "a")
    (root / "b" / "up").symlink_to(root / "b")
    (root / "b" / "more").symlink_to(tmp_path / "elsewhere")
    assert total(load(root)) == 6


def test_train_and_val_inside_the_classes_are_refused(tmp_path, fill):
    for label in ("cat", "dog"):
        fill(tmp_path / label / "train", 2)
        fill(tmp_path / label / "val", 2)
    assert "Put these above the classes: train/cat, val/cat" in refusal(tmp_path)


def test_val_and_test_without_train_are_no_classes(tmp_path, fill):
    for part in ("val", "test"):
        for label in ("cat", "dog"):
            fill(tmp_path / part / label, 2)
    assert "holds test, val with folders in them, and no train" in refusal(tmp_path)


def test_of_one_folder_too_high_the_line_names_the_one_below(tmp_path, fill):
    fill(tmp_path / "flowers" / "roses", 2)
    fill(tmp_path / "flowers" / "tulips", 2)
    line = refusal(tmp_path)
    assert "one class folder only, 'flowers'" in line
    assert f"If roses, tulips are the classes, name {tmp_path / 'flowers'}." in line


def test_two_unicode_forms_of_a_name_are_one_class(tmp_path, fill):
    for part, form in (("train", "NFC"), ("val", "NFD")):
        for label in ("Käse", "Brot"):
            fill(tmp_path / part / unicodedata.normalize(form, label), 2)
    source = load(tmp_path)
    assert source.classes == ("Brot", unicodedata.normalize("NFC", "Käse"))
    assert (source.train_examples, source.validation_examples) == (4, 4)


def test_two_unicode_forms_side_by_side_are_one_class_and_told(tmp_path, fill):
    fill(tmp_path / "Brot", 2)
    for form in ("NFC", "NFD"):
        fill(tmp_path / unicodedata.normalize(form, "Käse"), 2)
    source = load(tmp_path)
    assert len(source.classes) == 2
    assert total(source) == 6
    [line] = [line for line in source.notices if "Unicode" in line]
    assert "Käse" in line


def test_a_name_that_differs_in_case_alone_is_pointed_at(tmp_path, fill):
    fill(tmp_path / "train" / "Cat", 2)
    fill(tmp_path / "train" / "dog", 2)
    fill(tmp_path / "val" / "cat ", 2)
    assert "'cat ' and 'Cat' differ in upper and lower case" in refusal(tmp_path)


@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines"])
def test_a_class_name_that_no_text_file_can_hold_is_refused(tmp_path, fill, name):
    fill(tmp_path / "tea", 2)
    fill(os.fsdecode(os.fsencode(tmp_path) + b"/" + name), 2)
    line = refusal(tmp_path)
    assert "names of class folders" in line
    assert "\n" not in line
    line.encode("utf-8")


def test_files_whose_names_are_not_utf8_are_used(tmp_path, fill):
    fill(tmp_path / "a", 3)
    [file, *_] = fill(tmp_path / "b", 3)
    os.rename(file, os.fsencode(tmp_path) + b"/b/\xe9t\xe9.png")
    source = load(tmp_path)
    seen = sum(len(images) for images, *_ in source.validation_batches(1))
    assert seen == source.validation_examples
    for name in (*source.training.names(), *source.validation.names()):
        name.encode("utf-8")


def test_a_file_in_both_parts_in_two_classes_or_twice_is_named(tmp_path, fill):
    train, val = tmp_path / "train", tmp_path / "val"
    cats, dogs = fill(train / "cat", 4), fill(train / "dog", 4)
    fill(val / "cat", 2)
    fill(val / "dog", 2)
    copies = {
        val / "cat" / "leaked.png": cats[0],
        train / "dog" / "twin.png": cats[1],
        train / "dog" / "again.png": dogs[2],
    }
    for copy, original in copies.items():
        copy.write_bytes(original.read_bytes())
    lines = load(tmp_path).notices
    assert len(lines) == 3
    leaked, twin, again = lines
    assert "One image is in both the training and the validation set" in leaked
    assert f"{val / 'cat' / 'leaked.png'} = {cats[0]}" in leaked
    assert f"in two classes or more (duplicates): {cats[1]} = " in twin
    assert f"{dogs[2]} = {train / 'dog' / 'again.png'}" in again


def test_an_unchanged_folder_is_not_decoded_again(tmp_path, fill, monkeypatch):
    files = [*fill(tmp_path / "a", 3), *fill(tmp_path / "b", 3, ".tif")]
    (tmp_path / "a" / "bad.png").write_bytes(b"no image")
    first = load(tmp_path, skip_bad_images=True)
    decoded = []
    check = image_files.check
    monkeypatch.setattr(
        image_files,
        "check",
        lambda new, copies: decoded.extend(new) or check(new, copies),
    )
    again = load(tmp_path, skip_bad_images=True)
    assert decoded == []
    assert again.skipped == first.skipped
    assert again.validation.names() == first.validation.names()
    np.testing.assert_array_equal(again.training.ways, first.training.ways)
    # What changed is looked at again, even where its size stays.
    contents = files[0].read_bytes()
    files[0].write_bytes(contents[:-20] + bytes(20))
    load(tmp_path, skip_bad_images=True)
    assert decoded == [files[0]]


def test_a_copy_that_was_removed_is_made_again(tmp_path, fill, cache):
    fill(tmp_path / "a", 2)
    fill(tmp_path / "b", 2, ".tif")
    load(tmp_path)
    for copy in cache.rglob("*.png"):
        copy.unlink()
    source = load(tmp_path)
    assert sum(len(images) for images, *_ in source.validation_batches(1)) == 2


def test_a_damaged_memory_of_the_check_is_as_none(tmp_path, fill, cache):
    fill(tmp_path / "a", 2)
    fill(tmp_path / "b", 2)
    load(tmp_path)
    [kept] = cache.rglob("*.json")
    for damage in ("", "[]", '{"decided_by": 1}', kept.read_text()[:-9]):
        kept.write_text(damage)
        assert total(load(tmp_path)) == 4
    assert json.loads(kept.read_text())["files"]


def test_a_jpeg_that_its_decoder_complains_of_is_named(tmp_path, fill, capfd):
    fill(tmp_path / "a", 3, ".jpg")
    [flawed, *_] = fill(tmp_path / "b", 3, ".jpg")
    whole = flawed.read_bytes()
    flawed.write_bytes(whole[:-2] + bytes(range(1, 9)) + whole[-2:])
    source = load(tmp_path)
    [line] = source.notices
    assert line.startswith("One image is damaged in a way that decoders pass over")
    assert str(flawed) in line
    for _ in source.validation_batches(1):
        pass
    # Neither now nor whenever it is read again.
    assert capfd.readouterr().err == ""


def test_a_class_renamed_between_two_starts_is_refused(tmp_path):
    workdir = Workdir(tmp_path / "run")
    workdir.claim({"classes": 2}, ("apple", "berry"))
    workdir.claim({"classes": 2}, ("apple", "berry"))
    with pytest.raises(UsageError, match="without apple, with cherry"):
        workdir.claim({"classes": 2}, ("berry", "cherry"))
    with pytest.raises(UsageError, match="another order"):
        workdir.claim({"classes": 2}, ("berry", "apple"))
    workdir.release()
    workdir.claim({"classes": 2}, ("berry", "cherry"))
    assert workdir.labels.read_text() == "berry\ncherry\n"
