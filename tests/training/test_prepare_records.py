"""ImageNet's tar of tars becomes record files: the same images, whatever happens."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from keras_convnext._data import (
    class_tars,
    record_files,
    record_index,
    records,
    remote_files,
)
from keras_convnext._data.data_error import DataError
from training import data, prepare_records_main
from training.recipes.augmentation import Augmentation

pytest.importorskip("array_record.python.array_record_module")

# Not in the order of the alphabet, as the published archives are not.
COUNTS = {"n00000020": 7, "n00000003": 5, "n00000100": 9}
TOTAL = sum(COUNTS.values())


def encoded(number: int, kind: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (9, 11, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def tar_of(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, contents in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(contents)
            archive.addfile(entry, io.BytesIO(contents))
    return file.getvalue()


def images_by_class() -> dict[str, dict[str, bytes]]:
    number, found = 0, {}
    for name, count in COUNTS.items():
        found[name] = {f"{name}_{i}.JPEG": encoded(number + i) for i in range(count)}
        number += count
    return found


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A folder with the layout of fall11_whole.tar, and the same unpacked once."""
    root = tmp_path_factory.mktemp("published")
    tars = {f"{name}.tar": tar_of(files) for name, files in images_by_class().items()}
    (root / "whole.tar").write_bytes(
        tar_of({f"whole/{name}": contents for name, contents in tars.items()})
    )
    (root / "tars").mkdir()
    for name, contents in tars.items():
        (root / "tars" / name).write_bytes(contents)
    for name, files in images_by_class().items():
        (root / "folders" / name).mkdir(parents=True)
        for file, contents in files.items():
            (root / "folders" / name / file).write_bytes(contents)
    return root


def prepare(*flags: str) -> int:
    return prepare_records_main.main(["prepare_records", *flags])


def rows_of(found: record_index.Records) -> set[tuple[str, bytes, int]]:
    return {(name, *found.read(number)) for number, name in enumerate(found.names())}


def expected_rows() -> set[tuple[str, bytes, int]]:
    classes = sorted(COUNTS)
    return {
        (file, contents, classes.index(name))
        for name, files in images_by_class().items()
        for file, contents in files.items()
    }


@pytest.mark.parametrize("form", ["whole.tar", "tars"])
def test_a_tar_for_each_class_is_read_in_place(published, form) -> None:
    found = class_tars.load(str(published / form), validation_share=None, seed=0)
    assert found.classes == tuple(sorted(COUNTS))
    assert rows_of(found.train) == expected_rows()
    assert found.train.labels.tolist() == sorted(found.train.labels.tolist())


@pytest.mark.slow
def test_training_reads_the_tars_as_it_reads_class_folders(published) -> None:
    pixels = []
    for spec in (f"class_tars:{published}/whole.tar", f"folder:{published}/folders"):
        source = data.load(spec, size_px=8, split="all")
        images, labels = source.sample_images(TOTAL)
        order = np.lexsort([labels, images.sum((1, 2, 3))])
        pixels.append((images[order], labels[order]))
    np.testing.assert_array_equal(pixels[0][0], pixels[1][0])
    np.testing.assert_array_equal(pixels[0][1], pixels[1][1])


@pytest.mark.parametrize("store", ["tfrecord", "array_record"])
@pytest.mark.parametrize("form", ["class_tars:whole.tar", "folder:folders"])
def test_record_files_hold_the_same_images(published, tmp_path, store, form) -> None:
    kind, _, name = form.partition(":")
    flags = (
        f"--data={kind}:{published / name}",
        f"--out={tmp_path}",
        f"--format={store}",
        "--images_per_file=4",
        "--validation_share=0.2",
    )
    assert prepare(*flags) == 0
    found = records.load(str(tmp_path), store=store, validation_share=0.5, seed=3)
    assert found.classes == tuple(sorted(COUNTS))
    assert (found.train.count, found.validation.count, found.drawn) == (17, 4, False)
    both = rows_of(found.train) | rows_of(found.validation)
    assert both == expected_rows()
    assert len(list(tmp_path.glob("train-*-of-00005.*"))) == 5
    # In a random order: files of one class after the other teach one class at a time.
    assert found.train.labels.tolist() != sorted(found.train.labels.tolist())


@pytest.mark.parametrize("store", ["tfrecord", "array_record"])
def test_no_record_is_looked_at_where_the_index_is(
    published, tmp_path, store, monkeypatch
) -> None:
    flags = (f"--data=class_tars:{published}/tars", f"--out={tmp_path}")
    assert prepare(*flags, f"--format={store}", "--images_per_file=4") == 0
    opened = record_files.STORES[store]

    def without_scan(files):
        found = opened(files)

        def scan():
            raise AssertionError("every record is looked at")

        return record_files.Store(scan, found.read, found.holders)

    with monkeypatch.context() as patch:
        patch.setitem(record_files.STORES, store, without_scan)
        again = records.load(str(tmp_path), store=store, validation_share=0.5, seed=0)
        numbers = range(again.train.count)
        read = [again.train.read(number) for number in numbers]
    for file in (tmp_path / "index").iterdir():
        file.unlink()
    scanned = records.load(str(tmp_path), store=store, validation_share=0.5, seed=0)
    assert read == [scanned.train.read(number) for number in numbers]
    assert again.train.labels.tolist() == scanned.train.labels.tolist()
    assert again.train.names() == scanned.train.names()


def test_an_index_of_another_file_is_not_believed(published, tmp_path) -> None:
    flags = (f"--data=class_tars:{published}/tars", f"--out={tmp_path}")
    assert prepare(*flags, "--images_per_file=4") == 0
    first, second = sorted(tmp_path.glob("train-0000[04]-*"))
    first.write_bytes(second.read_bytes())
    found = records.load(str(tmp_path), store="tfrecord", validation_share=0.5, seed=0)
    assert all(contents[:2] == b"\xff\xd8" for _, contents, _ in rows_of(found.train))


@pytest.mark.slow
def test_a_killed_run_goes_on_and_leaves_the_same_files(published, tmp_path) -> None:
    def command(out: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "training.prepare_records_main"),
            *(f"--data=class_tars:{published}/whole.tar", f"--out={out}"),
            "--images_per_file=1",
        ]

    subprocess.run(command(tmp_path / "whole"), check=True)
    out, kills = tmp_path / "killed", 0
    while kills < 3:
        process = subprocess.Popen(command(out))
        before = len(list(out.glob("index/*")))
        while process.poll() is None and len(list(out.glob("index/*"))) < before + 4:
            time.sleep(0.001)
        assert process.poll() is None, "it ended before it was killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    subprocess.run(command(out), check=True)
    parts = [
        {
            str(file.relative_to(root)): file.read_bytes()
            for file in root.rglob("*")
            if file.is_file() and file.suffix != ".npz"
        }
        for root in (tmp_path / "whole", out)
    ]
    assert parts[0] == parts[1]


def test_what_was_written_is_not_written_again(published, tmp_path, capsys) -> None:
    flags = (f"--data=class_tars:{published}/tars", f"--out={tmp_path}")
    assert prepare(*flags, "--images_per_file=4") == 0
    files = sorted(tmp_path.glob("*.tfrecord"))
    stamps = [os.stat(file).st_mtime_ns for file in files]
    files[1].unlink()
    (tmp_path / ".train-00000-of-00005.partial.tfrecord").write_bytes(b"half")
    capsys.readouterr()
    assert prepare(*flags, "--images_per_file=4") == 0
    assert (
        f"{len(files) - 1} of {len(files)} files are there" in capsys.readouterr().out
    )
    after = [os.stat(file).st_mtime_ns for file in files]
    assert [a == b for a, b in zip(stamps, after, strict=True)] == [
        number != 1 for number in range(len(files))
    ]
    assert not list(tmp_path.glob(".*"))


def test_damaged_images_are_named_or_left_out(tmp_path, capsys) -> None:
    files = images_by_class()
    files["n00000003"]["cut.JPEG"] = encoded(99)[:200]
    files["n00000003"]["odd.tiff"] = encoded(98, "TIFF")
    (tmp_path / "whole.tar").write_bytes(
        tar_of({f"{name}.tar": tar_of(images) for name, images in files.items()})
    )
    out = tmp_path / "out"
    flags = (f"--data=class_tars:{tmp_path}/whole.tar", f"--out={out}")
    assert prepare(*flags) == 2
    said = capsys.readouterr().err
    assert "--skip_bad_images leaves them out" in said
    assert "n00000003/cut.JPEG" in said
    assert not list(out.glob("train-*"))
    assert prepare(*flags, "--skip_bad_images") == 0
    assert "left out  n00000003/cut.JPEG" in capsys.readouterr().err
    found = records.load(str(out), store="tfrecord", validation_share=0.5, seed=0)
    rows = rows_of(found.train) | rows_of(found.validation)
    assert len(rows) == TOTAL + 1
    # TensorFlow reads no TIFF: a PNG with the same pixels is there instead.
    (odd,) = (contents for name, contents, _ in rows if name == "odd.tiff")
    pixels = [np.asarray(Image.open(io.BytesIO(x))) for x in (odd, encoded(98, "TIFF"))]
    np.testing.assert_array_equal(*pixels)
    assert odd.startswith(b"\x89PNG")


def test_files_that_are_missing_are_counted(published, tmp_path) -> None:
    flags = (f"--data=class_tars:{published}/tars", f"--out={tmp_path}")
    assert prepare(*flags, "--images_per_file=4") == 0
    next(tmp_path.glob("train-00002-*")).unlink()
    with pytest.raises(DataError, match=r"has 4 of the 5 files .* train-"):
        records.load(str(tmp_path), store="tfrecord", validation_share=0.5, seed=0)
    # Some of them, on purpose.
    pattern = str(tmp_path / "train-*.tfrecord")
    some = records.load(pattern, store="tfrecord", validation_share=0.5, seed=0)
    assert some.train.count + some.validation.count < TOTAL


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--data=class_tars:nowhere.tar",), "does not exist"),
        (("--data=class_tars:{root}/folders",), "holds 0 tars"),
        (("--data=class_tars:{root}/tars/n00000003.tar",), "folder:FILE.tar"),
        (("--data=masks:{root}",), "expected class_tars:PATH"),
        (("--data=class_tars:{root}/tars", "--validation_share=0"), "between 0 and 1"),
    ],
)
def test_other_data_get_a_line(published, tmp_path, capsys, flags, said) -> None:
    given = [flag.format(root=published) for flag in flags]
    assert prepare(*given, f"--out={tmp_path / 'out'}") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_damaged_and_empty_tars_are_named(published, tmp_path) -> None:
    for name, contents in {
        "n1.tar": (published / "tars" / "n00000003.tar").read_bytes()[:700],
        "n2.tar": tar_of({"a.JPEG": encoded(0)}),
    }.items():
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(DataError, match=r"^n1\.tar: .* damaged"):
        class_tars.load(str(tmp_path), validation_share=None, seed=0)
    (tmp_path / "n1.tar").write_bytes(tar_of({"read.me": b"hello"}))
    with pytest.raises(DataError, match=r"1 of 2 tars have no images: n1\.tar"):
        class_tars.load(str(tmp_path), validation_share=None, seed=0)


def test_a_folder_that_was_begun_otherwise_is_not_mixed(
    published, tmp_path, capsys
) -> None:
    flags = (f"--data=class_tars:{published}/tars", f"--out={tmp_path}")
    assert prepare(*flags) == 0
    assert prepare(*flags, "--seed=1") == 2
    assert "was begun with seed=0 and not 1" in capsys.readouterr().err


@pytest.fixture
def uploaded(published, tmp_path, monkeypatch):
    """A prepared folder in memory that speaks as an object store does."""
    monkeypatch.setattr(remote_files, "PAUSES", (0.0, 0.0, 0.0))
    out = tmp_path / "out"
    flags = (f"--data=class_tars:{published}/tars", f"--out={out}")
    assert prepare(*flags, "--images_per_file=4", "--validation_share=0.2") == 0
    url = f"memory://{tmp_path.name}/prepared"
    store, root = fsspec.core.url_to_fs(url)
    store.put(str(out), root, recursive=True)
    return url, out


def test_records_at_a_url_are_those_of_the_folder(uploaded) -> None:
    url, out = uploaded
    there, here = (
        records.load(str(place), store="tfrecord", validation_share=0.5, seed=0)
        for place in (url, out)
    )
    assert there.classes == here.classes
    for part in ("train", "validation"):
        of_url, of_folder = getattr(there, part), getattr(here, part)
        assert of_url.names() == of_folder.names()
        for number in range(of_folder.count):
            assert of_url.read(number) == of_folder.read(number)


@pytest.mark.slow
def test_training_reads_a_url_as_it_reads_the_folder(uploaded) -> None:
    epochs = []
    for place in uploaded:
        source = data.load(f"tfrecord:{place}", size_px=8)
        epoch = source.train(4, epoch=0, seed=1, augment=Augmentation())
        batches = list(epoch.as_numpy_iterator())
        assert len(batches) == 4
        epochs.append([np.concatenate(arrays) for arrays in zip(*batches, strict=True)])
    for there, here in zip(*epochs, strict=True):
        np.testing.assert_array_equal(there, here)


def test_a_broken_connection_is_tried_again_and_then_told(
    uploaded, monkeypatch
) -> None:
    url, _ = uploaded
    found = records.load(url, store="tfrecord", validation_share=0.5, seed=0)
    whole = found.train.read(3)
    store = type(fsspec.filesystem("memory"))
    cat, failures = store.cat_file, [ConnectionError("reset\nby peer")] * 3

    def shaky(self, *arguments, **named):
        if failures:
            raise failures.pop()
        return cat(self, *arguments, **named)

    monkeypatch.setattr(store, "cat_file", shaky)
    assert found.train.read(3) == whole
    failures += [ConnectionError("reset\nby peer")] * 4
    with pytest.raises(DataError, match=r"^memory:.*record cannot be read: reset by"):
        found.train.read(3)
    assert not failures
    # Nobody is let in by asking again.
    failures += [AssertionError("asked again"), PermissionError("Access Denied")]
    with pytest.raises(DataError, match="Access Denied"):
        found.train.read(3)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("prepared.json", "no data set that training.prepare_records_main has written"),
        (
            "index/train-00002-of-00005.tfrecord.npz",
            "of-00005.tfrecord has no index",
        ),
        ("train-00002-of-00005.tfrecord", "has 4 of the 5 files"),
    ],
)
def test_what_is_missing_at_a_url_is_told(uploaded, gone, said) -> None:
    url, _ = uploaded
    store, root = fsspec.core.url_to_fs(url)
    store.rm_file(f"{root}/{gone}")
    with pytest.raises(DataError, match=said):
        records.load(url, store="tfrecord", validation_share=0.5, seed=0)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("array_record:memory://x", "only TFRecord files are read at a URL"),
        ("tfrecord:nowhere://x/y", "nowhere://x/y cannot be opened"),
        ("tfrecord:memory://nothing/there", "holds no data set"),
    ],
)
def test_other_urls_get_a_line(spec, said) -> None:
    with pytest.raises(DataError, match=said):
        data.load(spec, size_px=8)
