"""Where the images of a large data set lie, and of which class each is.

Record files that `training.prepare_records_main` has written have it beside them, in
index/: a run on millions of images begins without a look at every record.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_convnext import _files
from keras_convnext._data.data_error import DataError, SplitError

FOLDER = "index"
LABELS = "labels.txt"
# What `training.prepare_records_main` notes of its work, and the parts that it writes.
PLAN = "prepared.json"
PARTS = ("train", "validation")
_NUMBERED = re.compile(r"(.*)-\d+-of-(\d+)(.*)")
# In no file name.
_END = "\0"


@dataclass(frozen=True, eq=False)
class Records:
    """Encoded images in large files, any of which can be read by its number.

    Attributes:
        count: How many there are.
        read: Returns the encoded image and the label of a number.
        labels: int32 `(count,)`, counted from 0.
        names: Returns the images' file names; empty where not every record has one.
    """

    count: int
    read: Callable[[int], tuple[bytes, int]]
    labels: np.ndarray
    names: Callable[[], tuple[str, ...]]


@dataclass(frozen=True)
class RecordFiles:
    """What was found in large files.

    Attributes:
        classes: Their names, in the order of the labels.
        train: Training images.
        validation: Validation images.
        drawn: Whether these were drawn by share and seed.
    """

    classes: tuple[str, ...]
    train: Records
    validation: Records
    drawn: bool = False


@dataclass(frozen=True, eq=False)
class Index:
    """Some images: where each lies, in the words of its store.

    Attributes:
        images: Holder, first byte and length, int64 `(count, 3)`.
        labels: int64 `(count,)`, counted from 0.
        read: Returns the part of a holder that these three numbers name.
        names: Returns the file name of each image, or "".
    """

    images: np.ndarray
    labels: np.ndarray
    read: Callable[[int, int, int], bytes]
    names: Callable[[], list[str]]

    def records(self, rows: np.ndarray) -> Records:
        """Returns the records of these rows."""
        places = self.images[rows]
        labels = self.labels[rows]

        def read(number: int) -> tuple[bytes, int]:
            holder, start, length = places[number].tolist()
            return self.read(holder, start, length), int(labels[number])

        def read_names() -> tuple[str, ...]:
            every = self.names()
            return tuple(every[row] for row in rows) if all(every) else ()

        return Records(len(rows), read, labels.astype(np.int32), read_names)

    def every(self) -> Records:
        """Returns the records of all rows."""
        return self.records(np.arange(len(self.labels)))

    def whole(self, classes: tuple[str, ...]) -> RecordFiles:
        """Returns all images, as those of training and of validation alike."""
        images = self.every()
        return RecordFiles(classes, images, images)

    def drawn(
        self, classes: tuple[str, ...], share: float, seed: int, what: str
    ) -> RecordFiles:
        """Draws images for validation.

        Args:
            classes: Their names.
            share: Part that validation gets: at least one image.
            seed: The same draws the same of the same images.
            what: What they are, for the message.

        Raises:
            SplitError: There are too few.
        """
        total = len(self.labels)
        count = max(1, round(total * share))
        if count >= total:
            raise SplitError(
                f"{what} has {total} images, too few to hold {share:.0%} back."
            )
        drawn = np.random.default_rng(seed).permutation(total)
        train, validation = (
            self.records(np.sort(rows)) for rows in (drawn[count:], drawn[:count])
        )
        return RecordFiles(classes, train, validation, drawn=True)


@dataclass(frozen=True, eq=False)
class FileIndex:
    """What lies where in one record file.

    Attributes:
        images: First byte and length of each image, in the file (TFRecord) or in its
            record (ArrayRecord), int64 `(count, 2)`.
        labels: `(count,)`, counted from 0.
        names: File names of the images, or "", each with a zero behind it. Millions of
            them are no text of its own before somebody asks.
    """

    images: np.ndarray
    labels: np.ndarray
    names: str


def join_names(names: Iterable[str]) -> str:
    """Returns file names as `FileIndex` has them."""
    return "".join(f"{name}{_END}" for name in names)


def join_indexes(
    indexes: Sequence[FileIndex],
    holders: np.ndarray,
    read: Callable[[int, int, int], bytes],
) -> Index:
    """Returns the index of several files as one.

    Args:
        indexes: Of each file.
        holders: The holder of each image.
        read: As in `Index`.
    """
    images = np.concatenate([each.images for each in indexes])
    return Index(
        np.column_stack([holders, images]),
        np.concatenate([each.labels for each in indexes]),
        read,
        lambda: "".join(each.names for each in indexes).split(_END)[:-1],
    )


def require_all(folder: object, names: Iterable[str]) -> None:
    """Refuses files whose names speak of more of them, "-00003-of-00012".

    Args:
        folder: Where they lie, for the message.
        names: Theirs.

    Raises:
        DataError: Some are missing.
    """
    groups = Counter(
        (found[1], int(found[2]), found[3])
        for found in map(_NUMBERED.fullmatch, names)
        if found
    )
    for (before, total, after), count in groups.items():
        if count < total:
            raise DataError(
                f"{folder} has {count:,} of the {total:,} files that their names speak "
                f"of, {before}-*-of-{total:05}{after}. Copy or prepare the others; to "
                "use some of them give a pattern in quotes."
            )


def write_index(file: Path, index: FileIndex) -> None:
    """Writes the index of one record file beside it.

    Args:
        file: The record file, complete.
        index: Of its images.

    Raises:
        OSError: It cannot be written.
    """
    place = _place(file)
    place.parent.mkdir(exist_ok=True)
    names = np.frombuffer(index.names.encode(), np.uint8)
    with _files.replacing(place) as partial:
        np.savez(
            partial,
            size=file.stat().st_size,
            images=index.images,
            labels=index.labels,
            names=names,
        )


def read_index(file: Path) -> FileIndex | None:
    """Returns what `write_index` wrote; None where that is absent, or of another file.

    Args:
        file: The record file.
    """
    try:
        return parse_index(_place(file).read_bytes(), file.stat().st_size)
    except OSError:
        return None


def parse_index(contents: bytes, size: int) -> FileIndex | None:
    """Returns the index that a file holds; None where it is of another record file.

    Args:
        contents: Of the file of the index.
        size: Of the record file, in bytes.
    """
    try:
        with np.load(io.BytesIO(contents), allow_pickle=False) as found:
            if int(found["size"]) != size:
                return None
            names = found["names"].tobytes().decode()
            return FileIndex(found["images"], found["labels"], names)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def remove_index(file: Path) -> None:
    """Removes the index of a record file that is to be written anew."""
    _place(file).unlink(missing_ok=True)


def _place(file: Path) -> Path:
    return file.parent / FOLDER / f"{file.name}.npz"
