"""A person's own images in class folders, and every mistake made with them."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training import data
from training.recipes.augmentation import Augmentation

SIZE_PX = 16


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def write(path: Path, color: tuple[int, int, int] = (200, 30, 30), **save) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 24), color).save(path, **save)
    return path


def fill(root: Path, classes: dict[str, int], suffix: str = ".png") -> Path:
    """Writes so many images of each class, each of its own color."""
    blue = sum(map(ord, root.name)) % 200
    for number, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            write(root / name / f"{index:02d}{suffix}", (number * 20, index * 10, blue))
    return root


def load(root: Path, **options) -> data.Source:
    return data.load(f"folder:{root}", size_px=SIZE_PX, **options)


def refusal(root: Path, **options) -> str:
    with pytest.raises(data.DataError) as caught:
        load(root, **options)
    return str(caught.value)


def colors(batches) -> set[tuple[int, int, int]]:
    """The middle of every image; class and number, as `fill` painted them."""
    return {
        tuple(image[8, 8].astype(int).tolist())
        for images, *_ in batches.as_numpy_iterator()
        for image in images
    }


def train_colors(source: data.Source) -> set[tuple[int, int, int]]:
    nothing = Augmentation()
    return colors(
        source.train(1, epoch=0, seed=0, augment=nothing, drop_remainder=False)
    )


def test_a_folder_split_into_train_and_val_is_used_as_it_is(tmp_path: Path):
    fill(tmp_path / "train", {"b": 2, "a": 3})
    fill(tmp_path / "val", {"b": 1, "a": 2})
    source = load(tmp_path)
    assert source.classes == ("a", "b")
    assert (source.train_examples, source.validation_examples) == (5, 3)
    (_, labels, _) = next(source.validation_batches(3).as_numpy_iterator())
    assert labels.tolist() == [0, 0, 1]
    assert source.skipped == ()
    assert source.notices == ()


@pytest.mark.parametrize("name", ["test", "validation", "valid", "Val"])
def test_other_words_for_the_evaluation_folder_are_understood(tmp_path: Path, name):
    fill(tmp_path / "train", {"a": 2, "b": 2})
    fill(tmp_path / name, {"a": 1, "b": 1})
    assert load(tmp_path).validation_examples == 2


def test_val_is_preferred_to_test(tmp_path: Path):
    fill(tmp_path / "train", {"a": 2, "b": 2})
    fill(tmp_path / "val", {"a": 1, "b": 1})
    fill(tmp_path / "test", {"a": 3, "b": 3})
    assert load(tmp_path).validation_examples == 2


def test_an_unsplit_folder_is_split_by_class_and_by_seed(tmp_path: Path):
    fill(tmp_path, {"a": 20, "b": 10, "c": 2})
    source = load(tmp_path, validation_share=0.3)
    _, labels, _ = next(source.validation_batches(10).as_numpy_iterator())
    # 0.3 of 20, of 10, and of 2, which is at least one.
    assert np.bincount(labels).tolist() == [6, 3, 1]
    train, validation = train_colors(source), colors(source.validation_batches(1))
    assert not train & validation
    assert len(train | validation) == 32
    again = load(tmp_path, validation_share=0.3)
    assert colors(again.validation_batches(1)) == validation
    other = load(tmp_path, validation_share=0.3, seed=1)
    assert colors(other.validation_batches(1)) != validation


def test_train_alone_is_split(tmp_path: Path):
    fill(tmp_path / "train", {"a": 5, "b": 5})
    source = load(tmp_path)
    assert source.classes == ("a", "b")
    assert (source.train_examples, source.validation_examples) == (8, 2)


def test_a_class_may_be_called_train(tmp_path: Path):
    fill(tmp_path, {"train": 4, "tram": 4})
    assert load(tmp_path).classes == ("train", "tram")


def test_every_format_is_read_whatever_the_case_of_its_ending(tmp_path: Path):
    for suffix in ("jpg", "JPEG", "png", "PnG", "webp", "BMP", "gif"):
        write(tmp_path / "a" / f"{suffix}.{suffix}", format=_pillow_name(suffix))
        write(tmp_path / "b" / f"{suffix}.{suffix}", format=_pillow_name(suffix))
    source = load(tmp_path)
    assert source.train_examples + source.validation_examples == 14


def _pillow_name(suffix: str) -> str:
    return {"jpg": "JPEG"}.get(suffix.lower(), suffix.upper())


def test_hidden_files_are_ignored_and_others_are_mentioned(tmp_path: Path):
    fill(tmp_path, {"a": 3, "b": 3})
    for name in (".DS_Store", "._00.png", "Thumbs.db", "desktop.ini"):
        (tmp_path / "a" / name).write_bytes(b"not an image")
    (tmp_path / ".git").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    assert load(tmp_path).notices == ()
    (tmp_path / "a" / "notes.txt").write_text("hello")
    fill(tmp_path / "a", {"inner": 2})
    (line, nested) = load(tmp_path).notices
    assert "1 .txt" in line
    assert "count as their class's: a/inner" in nested


def test_images_that_are_in_no_class_are_mentioned(tmp_path: Path):
    fill(tmp_path, {"a": 3, "b": 3})
    write(tmp_path / "lost.jpg")
    [line] = load(tmp_path).notices
    assert line == f"{tmp_path}: images in no class folder, ignored: lost.jpg."


def test_class_folders_beside_train_are_mentioned(tmp_path: Path):
    fill(tmp_path / "train", {"a": 2, "b": 2})
    fill(tmp_path / "test", {"a": 2, "b": 2})
    fill(tmp_path, {"c": 2})
    assert load(tmp_path).notices == (f"{tmp_path}: beside train, ignored: c.",)


def test_images_that_are_black_throughout_are_used_and_mentioned(tmp_path: Path):
    fill(tmp_path, {"a": 3, "b": 3})
    black = [write(tmp_path / "a" / f"z.{kind}", (0, 0, 0)) for kind in ("png", "tif")]
    source = load(tmp_path)
    assert source.train_examples + source.validation_examples == 8
    [line] = source.notices
    assert line.startswith("2 images are black throughout")
    assert all(str(path) in line for path in black)


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda root: root.rmdir(), "does not exist"),
        (lambda root: (root.rmdir(), root.write_text("x")), "is a file, not a folder"),
        (lambda root: None, "has no class folders"),
        (lambda root: write(root / "a.png"), "has no class folders"),
        (lambda root: fill(root / "a", {"b": 2, "c": 2}), "If b, c are .*a[.]$"),
        (lambda root: fill(root, {"only": 3}), "one class folder only, 'only'"),
        (lambda root: fill(root, {"a": 3, "b": 0}), "no images in b"),
        (lambda root: fill(root, {"a": 3, "b": 1}), "cannot be split.*: b"),
        (
            lambda root: (
                fill(root / "train", {"a": 1, "b": 1}),
                (root / "val").mkdir(),
            ),
            "cannot be split.*: a, b",
        ),
        (
            lambda root: (
                fill(root / "train", {"a": 1, "b": 1}),
                fill(root / "val", {"a": 1, "z": 1, "y": 1}),
            ),
            "val has classes that .*train has not: y, z",
        ),
        (
            lambda root: (
                fill(root / "train", {"a": 1, "b": 1}),
                fill(root / "val", {"a": 1, "b": 0}),
            ),
            "val: no images in b",
        ),
    ],
)
def test_a_mistake_in_the_folders_is_one_clear_line(
    tmp_path: Path, make: Callable[[Path], object], wanted: str
):
    root = tmp_path / "pictures"
    root.mkdir()
    make(root)
    with pytest.raises(data.DataError, match=wanted) as caught:
        load(root)
    assert str(root) in str(caught.value) or "cannot be split" in wanted
    assert "\n" not in str(caught.value)


def test_several_mistakes_are_told_at_once(tmp_path: Path):
    fill(tmp_path / "train", {"a": 2, "b": 0, "c": 0})
    fill(tmp_path / "val", {"a": 1, "z": 1})
    lines = refusal(tmp_path).splitlines()
    assert len(lines) == 2
    assert "b, c" in lines[0]
    assert "z" in lines[1]


def test_unreadable_images_are_named_all_at_once(tmp_path: Path):
    fill(tmp_path, {"a": 5, "b": 5})
    good = (tmp_path / "a" / "00.png").read_bytes()
    broken = {
        tmp_path / "a" / "cut.png": good[: len(good) // 2],
        tmp_path / "a" / "empty.jpg": b"",
        tmp_path / "b" / "text.jpg": b"these are words",
    }
    for path, contents in broken.items():
        path.write_bytes(contents)
    message = refusal(tmp_path)
    assert message.startswith("3 of 13 images cannot be used")
    assert "--skip_bad_images" in message
    for path in broken:
        assert str(path) in message
    assert "empty.jpg: the file is empty" in message
    assert "text.jpg: not an image" in message

    source = load(tmp_path, skip_bad_images=True)
    assert source.train_examples + source.validation_examples == 10
    assert [path for path, _ in source.skipped] == [str(path) for path in broken]


def test_of_many_unreadable_images_the_first_are_named_and_the_rest_counted(
    tmp_path: Path,
):
    fill(tmp_path, {"a": 2, "b": 2})
    for number in range(9):
        (tmp_path / "a" / f"bad{number}.jpg").write_bytes(b"")
    message = refusal(tmp_path)
    assert message.count("the file is empty") == 5
    assert message.splitlines()[-1].strip() == "and 4 more"


def test_a_class_that_skipping_empties_is_refused(tmp_path: Path):
    fill(tmp_path, {"a": 3, "b": 0})
    (tmp_path / "b" / "bad.jpg").write_bytes(b"nothing")
    message = refusal(tmp_path, skip_bad_images=True)
    assert "no images that can be read in b" in message


def test_an_image_lying_on_its_side_is_turned_upright(tmp_path: Path):
    fill(tmp_path / "train", {"a": 1, "b": 1})
    fill(tmp_path / "val", {"b": 1})
    exif = Image.Exif()
    exif[0x0112] = 6  # The top of the scene is on the right of the stored pixels.
    stored = np.zeros((32, 32, 3), np.uint8)
    stored[:, 16:] = 255
    path = tmp_path / "val" / "a" / "turned.jpg"
    path.parent.mkdir()
    Image.fromarray(stored).save(path, exif=exif, quality=95)
    source = load(tmp_path)
    images, labels, _ = next(source.validation_batches(2).as_numpy_iterator())
    (turned,) = images[labels == 0]
    # Orientation 6 is turned clockwise: what was on the right comes to the bottom.
    assert turned[:6].max() < 20
    assert turned[10:].min() > 235


def test_what_only_pillow_reads_is_used_from_a_copy(tmp_path: Path, cache: Path):
    fill(tmp_path / "train", {"a": 1, "b": 1})
    write(tmp_path / "val" / "a" / "one.tif", (10, 120, 250))
    write(tmp_path / "val" / "b" / "two.png", (0, 0, 9))
    source = load(tmp_path)
    assert source.skipped == ()
    images, _, _ = next(source.validation_batches(2).as_numpy_iterator())
    assert images[0, 8, 8].tolist() == [10, 120, 250]
    (copy,) = cache.rglob("*.png")
    made = copy.stat().st_mtime_ns
    load(tmp_path)
    assert copy.stat().st_mtime_ns == made


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_an_image_that_may_not_be_read_is_named(tmp_path: Path):
    fill(tmp_path, {"a": 3, "b": 3})
    (tmp_path / "a" / "00.png").chmod(0)
    assert "00.png: Permission denied" in refusal(tmp_path)


def test_what_decoders_print_of_a_file_is_not_passed_on(tmp_path: Path, capfd):
    fill(tmp_path, {"a": 2, "b": 2})
    odd = write(tmp_path / "a" / "twelve.jpg")
    contents = bytearray(odd.read_bytes())
    # The bits a color, in the header of the frame; libjpeg knows 8 only.
    contents[contents.index(b"\xff\xc0") + 4] = 12
    odd.write_bytes(contents)
    [(path, _)] = load(tmp_path, skip_bad_images=True).skipped
    assert path == str(odd)
    stdout, stderr = capfd.readouterr()
    assert (stdout, stderr) == ("", "")
