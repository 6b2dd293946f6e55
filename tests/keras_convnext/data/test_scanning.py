"""Listing folders: what is found is what pathlib finds, and in its order."""

import os
import zipfile
from pathlib import Path

import pytest

from keras_convnext._data import class_folders

# Of one folder each: a folder's name may sort before or after the names inside of it.
FILES = [
    "b.jpg",
    "a-x/c.jpg",
    "a/z.JPEG",
    "a/b/deep.png",
    "a.jpg/d.Gif",
    "a b/twice.jpg.jpg",
    "ä/ü.jpg",
    "upper/UPPER.JPG",
    "mixed/1.png",
    "mixed/2.PnG",
    "mixed/3.jpg",
]
OTHERS = ["mixed/notes.txt", "mixed/jpg", "mixed/a.b/name_without_ending", "a/x.jpg~"]
HIDDEN = [".a.jpg", "a/..jpg", "a/.hidden/x.jpg", "mixed/Thumbs.db", "a/._z.jpg"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (*FILES, *OTHERS, *HIDDEN):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "photos" / "a" / "loop").symlink_to(tmp_path / "photos" / "a")
    (tmp_path / "photos" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    return tmp_path / "photos"


def test_images_come_in_the_order_of_path_objects(root: Path):
    wanted = sorted([*(root / name for name in FILES), root / "gone.jpg"])
    assert class_folders.images_below(root) == list(map(str, wanted))
    wanted = sorted([*wanted, *(root / name for name in OTHERS)])
    assert class_folders.files_below(root) == wanted


def test_a_relative_folder_gives_paths_as_pathlib_writes_them(root: Path, monkeypatch):
    monkeypatch.chdir(root)
    wanted = [str(path) for path in sorted(map(Path, [*FILES, "gone.jpg"]))]
    assert class_folders.images_below(Path(".")) == wanted
    listed = class_folders.list_class_folders(Path("."))
    assert listed.by_class["a"] == ("a/b/deep.png", "a/z.JPEG")
    assert listed.by_class["mixed"] == ("mixed/1.png", "mixed/2.PnG", "mixed/3.jpg")
    assert listed.beside == ("b.jpg",)


def test_other_endings_are_counted(root: Path):
    listed = class_folders.list_class_folders(root)
    assert listed.other_endings == {".txt": 1, "": 2, ".jpg~": 1}


def test_an_archive_gives_the_paths_of_its_folder(root: Path, tmp_path: Path):
    packed = tmp_path / "photos.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name in (*FILES, *OTHERS, *HIDDEN):
            archive.write(root / name, name)
    wanted = [str(path) for path in sorted(packed / name for name in FILES)]
    assert class_folders.images_below(packed) == wanted


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_folder_that_may_not_be_read_is_named(root: Path):
    (root / "mixed").chmod(0)
    with pytest.raises(OSError, match="mixed"):
        class_folders.images_below(root)
