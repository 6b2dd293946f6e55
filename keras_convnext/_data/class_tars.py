"""A tar of images for each class, in one tar or in a folder: nothing is unpacked.

ImageNet is published so: ILSVRC2012_img_train.tar, fall11_whole.tar and
winter21_whole.tar hold n01440764.tar and its like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from keras_convnext._data.data_error import DataError
from keras_convnext._data.record_files import make_reader
from keras_convnext._data.record_index import (
    FileIndex,
    RecordFiles,
    join_indexes,
    join_names,
)
from keras_convnext._data.tar_members import read_members
from keras_convnext._files import first_few, is_hidden, is_image, why_no_folder

_ENDING = ".tar"


class _ClassTar(NamedTuple):
    """The tar of one class: its file's number, where it lies in it, and its name."""

    file: int
    start: int
    size: int
    name: str


def load(named: str, *, validation_share: float | None, seed: int) -> RecordFiles:
    """Lists the images of every class.

    Args:
        named: A tar that holds a tar for each class, or a folder of those.
        validation_share: Part that validation gets; None gives it all, as training.
        seed: Of that split.

    Raises:
        DataError: It is no such tar or folder, or damaged.
    """
    path = Path(named).expanduser()
    files, tars = _class_tars(path)
    indexes = [_indexed(files[tar.file], tar, label) for label, tar in enumerate(tars)]
    counts = [len(each.labels) for each in indexes]
    empty = [tar.name for tar, count in zip(tars, counts, strict=True) if not count]
    if empty:
        raise DataError(
            f"{path}: {len(empty):,} of {len(tars):,} tars have no images: "
            f"{first_few(empty)}. Each tar is a class; take out those."
        )
    classes = tuple(PurePosixPath(tar.name).stem for tar in tars)
    holders = np.repeat([tar.file for tar in tars], counts)
    index = join_indexes(indexes, holders, make_reader(files))
    if validation_share is None:
        return index.whole(classes)
    return index.drawn(classes, validation_share, seed, str(path))


def _class_tars(path: Path) -> tuple[list[Path], list[_ClassTar]]:
    """Returns the files, and the tars of the classes in them in the order of names."""
    if path.is_dir():
        files = sorted(
            each
            for each in path.iterdir()
            if each.suffix == _ENDING and not is_hidden(each.name)
        )
        tars = [
            _ClassTar(number, 0, file.stat().st_size, file.name)
            for number, file in enumerate(files)
        ]
    elif path.is_file():
        files = [path]
        tars = sorted(
            (
                _ClassTar(0, member.start, member.bytes, PurePosixPath(name).name)
                for name, member in read_members(path, path.stat().st_size)
                if name.endswith(_ENDING) and not is_hidden(PurePosixPath(name).name)
            ),
            key=lambda tar: tar.name,
        )
    else:
        raise DataError(f"The tar or folder {path} {why_no_folder(path)}.")
    counts = Counter(tar.name for tar in tars)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise DataError(f"{path} has several tars of one name: {first_few(twice)}.")
    if len(tars) < 2:
        raise DataError(
            f"{path} holds {len(tars)} tars; a tar for each of at least two classes "
            "was expected. Class folders in a tar are given as folder:FILE.tar."
        )
    return files, tars


def _indexed(file: Path, tar: _ClassTar, label: int) -> FileIndex:
    """Lists the images of a class; arrays, for all of ImageNet-22k are many."""
    found = list(_images(file, tar))
    places = np.array([place for _, *place in found], np.int64).reshape(-1, 2)
    names = join_names(name for name, *_ in found)
    return FileIndex(places, np.full(len(found), label), names)


def _images(file: Path, tar: _ClassTar) -> Iterator[tuple[str, int, int]]:
    """Yields the name, first byte and length of each image of a class."""
    try:
        for name, member in read_members(file, tar.size, tar.start):
            plain = PurePosixPath(name).name
            if is_image(plain) and not is_hidden(plain):
                yield plain, member.start, member.bytes
    except DataError as error:
        raise DataError(f"{tar.name}: {error}") from error
