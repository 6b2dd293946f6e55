"""Where the images of a large data set lie, and of which class each is.

Record files that `training.prepare_records_main` has written have it beside them, in
index/: a run on millions of images begins without a look at every record.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_convnext import _files
from keras_convnext._data.data_error import SplitError

FOLDER = "index"


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


def write_index(file: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Writes the index of one record file beside it.

    Args:
        file: The record file, complete.
        images: First byte and length of each image, in the file (TFRecord) or in its
            record (ArrayRecord), int64 `(count, 2)`.
        labels: `(count,)`, counted from 0.

    Raises:
        OSError: It cannot be written.
    """
    place = _place(file)
    place.parent.mkdir(exist_ok=True)
    with _files.replacing(place) as partial:
        np.savez(partial, size=file.stat().st_size, images=images, labels=labels)


def read_index(file: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns what `write_index` wrote; None where that is absent, or of another file.

    Args:
        file: The record file.
    """
    try:
        with np.load(_place(file), allow_pickle=False) as found:
            if int(found["size"]) != file.stat().st_size:
                return None
            return found["images"], found["labels"]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def remove_index(file: Path) -> None:
    """Removes the index of a record file that is to be written anew."""
    _place(file).unlink(missing_ok=True)


def _place(file: Path) -> Path:
    return file.parent / FOLDER / f"{file.name}.npz"
