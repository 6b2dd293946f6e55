"""Class folders in zip and tar files, read in place, and what can be wrong there."""

import io
import shutil
import struct
import subprocess
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.images import image_sets
from keras_convnext._data import archives
from keras_convnext.inference.images import read_image
from training import data
from training.data import unlabeled
from training.inference import inputs
from training.recipes.augmentation import Augmentation

SIZE_PX = 16
SUFFIXES = {"ant": "jpg", "bee": "png", "cow": "tif"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns photos/ with three classes of five noisy images; Pillow reads one."""
    root = tmp_path_factory.mktemp("data") / "photos"
    generator = np.random.default_rng(0)
    for name, suffix in SUFFIXES.items():
        (root / name).mkdir(parents=True)
        for number in range(5):
            pixels = generator.integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.{suffix}")
    (root / "LICENSE.txt").write_text("none")
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pack(folder: Path, file: Path, top: str = "") -> Path:
    """Packs a folder: into a tar, or a zip where every second file is compressed."""
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    if file.suffix == ".tar":
        with tarfile.open(file, "w") as tar:
            tar.add(folder, arcname=top or ".")
        return file
    with zipfile.ZipFile(file, "w") as packed:
        for number, path in enumerate(names):
            inner = Path(top, path.relative_to(folder)).as_posix()
            packed.write(path, inner, compress_type=(0, 8)[number % 2])
    return file


def load(path: Path, form: str = "folder", **options) -> data.Source:
    return data.load(f"{form}:{path}", size_px=SIZE_PX, **options)


def refusal(path: Path, form: str = "folder") -> str:
    with pytest.raises(data.DataError) as caught:
        load(path, form)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def seen(source: data.Source, start_batch: int = 0) -> list[tuple[np.ndarray, list]]:
    """Returns an epoch of training and the validation, batch by batch."""
    train = source.train(
        2, epoch=1, seed=3, augment=Augmentation(flip=True), start_batch=start_batch
    )
    return [
        (batch[0], batch[1].tolist())
        for batches in (train, source.validation_batches(2))
        for batch in batches.as_numpy_iterator()
    ]


def assert_equal(found: list, expected: list) -> None:
    for (images, labels), (same, as_well) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(images, same)
        assert labels == as_well


@pytest.mark.parametrize(("suffix", "top"), [(".zip", "photos"), (".tar", "")])
def test_an_archive_gives_what_its_folder_gives(folder, tmp_path, suffix, top):
    archive = pack(folder, tmp_path / f"some{suffix}", top)
    packed, plain = load(archive), load(folder)
    assert packed.classes == plain.classes == ("ant", "bee", "cow")
    expected = seen(plain)
    assert_equal(seen(packed), expected)
    assert_equal(seen(packed, start_batch=2), expected[2:])
    # From the second time on what was found out about the files is known.
    assert_equal(seen(load(archive)), expected)
    names = {Path(name).relative_to(archive / top) for name in packed.training.names()}
    assert names < {path.relative_to(folder) for path in folder.rglob("*.*")}


def test_folds_and_every_command_read_the_archive(folder, tmp_path):
    archive = pack(folder, tmp_path / "some.zip", "photos")
    folds = {"folds": 5, "fold": 2}
    assert_equal(seen(load(archive, **folds)), seen(load(folder, **folds)))
    assert load(archive, split="all").validation_examples == 15
    inner = load(archive / "photos", split="all").validation.names()
    assert inner == load(archive, split="all").validation.names()

    names = inputs.list_images([str(archive)])
    assert names == list(inner)
    [views] = inputs.views(names, None, 15)
    files = inputs.list_images([str(folder)])
    [expected] = inputs.views(files, None, 15)
    for view, same in zip(views, expected, strict=True):
        np.testing.assert_array_equal(view.image, same.image)
    np.testing.assert_array_equal(read_image(Path(names[0])), views[0].image)

    found = image_sets.find("calibration", f"folder:{archive}").training.read(range(15))
    assert [image.label for image in found] == ["ant"] * 5 + ["bee"] * 5 + ["cow"] * 5

    (tmp_path / "list.csv").write_text(
        "path,label\n"
        + "".join(
            f"{Path(n).relative_to(tmp_path)},{Path(n).parent.name}\n" for n in names
        )
    )
    listed = data.load(f"files:{tmp_path / 'list.csv'}", size_px=SIZE_PX)
    assert_equal(seen(listed), seen(load(folder)))


def test_parts_and_unlabeled_images_are_found_in_archives(folder, tmp_path):
    root = tmp_path / "both"
    for part in ("train", "val"):
        shutil.copytree(folder, root / part)
    for suffix in (".tar", ".zip"):
        archive = pack(root, tmp_path / f"both{suffix}")
        source = load(archive)
        assert (source.train_examples, source.validation_examples) == (15, 15)
        assert not source.drawn
        pairs = unlabeled.load(f"images:{archive}", size_px=32, patch_px=32)
        assert (pairs.train_examples, pairs.validation_examples) == (15, 15)


def test_names_in_utf_8_are_read_also_where_the_zip_does_not_say_so(folder, tmp_path):
    file = pack(folder, tmp_path / "some.zip")
    with zipfile.ZipFile(file, "a") as packed:
        for number in range(2):
            packed.write(folder / "ant/0.jpg", f"käfer/{number}.jpg")
    contents = bytearray(file.read_bytes())
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = contents.find(magic)
        while at >= 0:
            flags = struct.unpack_from("<H", contents, at + place)[0]
            struct.pack_into("<H", contents, at + place, flags & ~0x800)
            at = contents.find(magic, at + 4)
    file.write_bytes(contents)
    assert load(file).classes == ("ant", "bee", "cow", "käfer")


def test_hard_links_in_a_tar_are_files(folder, tmp_path):
    file = pack(folder, tmp_path / "some.tar", "photos")
    with tarfile.open(file, "a") as tar:
        for kind, name in ((tarfile.LNKTYPE, "hard"), (tarfile.SYMTYPE, "soft")):
            info = tarfile.TarInfo(f"photos/ant/{name}.jpg")
            info.type, info.linkname = kind, "photos/ant/0.jpg"
            tar.addfile(info)
    names = load(file, split="all").validation.names()
    assert len(names) == 16
    hard = file / "photos/ant/hard.jpg"
    assert archives.read_bytes(hard) == (folder / "ant/0.jpg").read_bytes()


@pytest.mark.parametrize("form", ["USTAR", "GNU", "PAX"])
def test_every_form_of_tar_gives_what_tarfile_gives(tmp_path, form):
    file = tmp_path / "a.tar"
    long = "/".join(["long folder names"] * 9)
    names = ["a/1.jpg", "ä/ü.jpg", f"{long}/1.jpg", f"{'x' * 120}/2.jpg"]
    if form != "USTAR":
        names.append(f"{long}/{'z' * 230}.jpg")
    with tarfile.open(file, "w", format=getattr(tarfile, f"{form}_FORMAT")) as tar:
        for number, name in enumerate(names):
            folder = tarfile.TarInfo(Path(name).parent.as_posix())
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
            info = tarfile.TarInfo(name)
            info.size, info.mtime = number * 512 + 7, 1.5
            tar.addfile(info, io.BytesIO(bytes([number]) * info.size))
        link = tarfile.TarInfo("a/link.jpg")
        link.type, link.linkname = tarfile.LNKTYPE, names[0 if form == "USTAR" else -1]
        tar.addfile(link)
    with tarfile.open(file) as tar:
        for info in tar:
            path = file / info.name
            assert archives.is_folder(path) == info.isdir()
            assert archives.is_file(path) != info.isdir()
            if not info.isdir():
                assert archives.read_bytes(path) == tar.extractfile(info).read()
    # An archive without the empty blocks at its end is whole.
    whole = file.read_bytes()
    end = len(whole.rstrip(b"\0"))
    file.write_bytes(whole[: -(-end // 512) * 512])
    assert archives.is_file(file / "a/link.jpg")


def write_zip(file: Path, *names: str, method: int = zipfile.ZIP_STORED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as packed:
        warnings.simplefilter("ignore")
        for name in names:
            packed.writestr(name, b"x" * 2000)
    return file


def write_tar(file: Path, *names: str, mode: str = "w") -> Path:
    with tarfile.open(file, mode) as packed:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 2000
            packed.addfile(info, io.BytesIO(b"x" * 2000))
    return file


def test_what_is_wrong_with_an_archive_is_told_in_a_line(tmp_path):
    file = tmp_path / "a.zip"
    tar = tmp_path / "a.tar"
    assert "is empty: it holds no files" in refusal(write_zip(file))
    assert "is empty: it holds no files" in refusal(write_tar(tar))
    assert "lead outside of it: ../b/1.jpg" in refusal(write_zip(file, "../b/1.jpg"))
    assert "lead outside of it: /b/1.jpg" in refusal(write_tar(tar, "/b/1.jpg"))
    for archive in (
        write_zip(file, "b/1.jpg", "b/1.jpg"),
        write_tar(tar, *["b/1"] * 3),
    ):
        assert "more than once: b/1" in refusal(archive)
    write_zip(file, "b/1.jpg", method=zipfile.ZIP_BZIP2)
    assert "b/1.jpg is compressed by bzip2, which is not read in place" in refusal(file)

    write_zip(file, "b/1.jpg", "c/1.jpg")
    file.write_bytes(file.read_bytes()[:2500])
    assert "is no zip file, or damaged" in refusal(file)
    write_tar(tar, "b/1.jpg", "c/1.jpg")
    whole = tar.read_bytes()
    tar.write_bytes(whole[:2000])
    assert "is no tar file without compression, or damaged" in refusal(tar)
    tar.write_bytes(whole[:2560] + b"rubbish " * 64 + whole[3072:])
    assert "damaged (at byte 2,560)" in refusal(tar)
    for archive in (file, tar):
        archive.write_bytes(b"")
        assert "damaged" in refusal(archive)
        archive.write_bytes(b"<html>404 Not Found</html>" * 100)
        assert "damaged" in refusal(archive)

    write_tar(tar, "b/1.jpg", mode="w:gz")
    assert "is no tar file without compression" in refusal(tar)
    write_tar(tmp_path / "a.tar.gz", "b/1.jpg", mode="w:gz")
    assert "Unpack" in refusal(tmp_path / "a.tar.gz")
    write_zip(file, "b/1.jpg")
    assert f"There is no folder c in {file}" in refusal(file / "c")
    with pytest.raises(data.DataError, match="There is such a file: --data=folder:"):
        data.load(str(file), size_px=SIZE_PX)


def test_encrypted_archives_are_refused(tmp_path):
    contents = bytearray(write_zip(tmp_path / "a.zip", "b/1.jpg").read_bytes())
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        contents[contents.find(magic) + place] |= 1
    (tmp_path / "a.zip").write_bytes(contents)
    assert "is encrypted (b/1.jpg)" in refusal(tmp_path / "a.zip")


def test_damaged_members_count_as_damaged_images(folder, tmp_path):
    file = pack(folder, tmp_path / "some.zip")
    contents = bytearray(file.read_bytes())
    start = contents.find(b"ant/0.jpg") + len("ant/0.jpg")
    contents[start + 300] ^= 0xFF
    file.write_bytes(contents)
    with pytest.raises(data.DataError, match="1 of 15 images cannot be used") as caught:
        load(file)
    assert "ant/0.jpg: damaged in" in str(caught.value)
    source = load(file, skip_bad_images=True)
    assert [Path(path).name for path, _ in source.skipped] == ["0.jpg"]
    assert source.train_examples + source.validation_examples == 14


@pytest.mark.parametrize("suffix", ["", ".zip", ".tar"])
def test_nested_folders_are_classes_by_leaf_or_by_path(folder, tmp_path, suffix):
    root = tmp_path / "nested"
    for outer, inner in (("wild", "ant"), ("wild", "bee"), ("tame", "bee")):
        shutil.copytree(folder / inner, root / outer / inner)
    place = pack(root, tmp_path / f"nested{suffix}") if suffix else root
    top = load(place, split="all")
    assert top.classes == ("tame", "wild")
    assert "folder_leaf:" in top.notices[0]
    leaf = load(place, "folder_leaf", split="all")
    assert leaf.classes == ("ant", "bee")
    assert np.bincount(leaf.validation.labels).tolist() == [5, 10]
    assert "one class: bee (tame/bee, wild/bee)" in leaf.notices[0]
    path = load(place, "folder_path", split="all")
    assert path.classes == ("tame/bee", "wild/ant", "wild/bee")
    assert np.bincount(path.validation.labels).tolist() == [5, 5, 5]
    assert load(place, "folder_path").classes == path.classes

    found = image_sets.find("images", f"folder_path:{place}").training
    assert {image.label for image in found.read(range(15))} == set(path.classes)


def test_archives_packed_by_the_usual_programs_are_read(folder, tmp_path):
    file = tmp_path / "some.tar"
    subprocess.run(["tar", "cf", file, "photos"], cwd=folder.parent, check=True)
    assert_equal(seen(load(file)), seen(load(folder)))
    file = tmp_path / "some.zip"
    command = [sys.executable, "-m", "zipfile", "-c", file, "photos"]
    subprocess.run(command, cwd=folder.parent, check=True)
    assert_equal(seen(load(file)), seen(load(folder)))
