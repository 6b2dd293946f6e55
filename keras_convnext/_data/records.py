"""Images in record files: TFRecord or ArrayRecord, a tf.train.Example a record.

The features are those of the ImageNet files that TensorFlow's own scripts write:
image/encoded, image/class/label and image/filename; others can be named. Every record
is looked at once, for its label and for where its image lies, so that any of them
can be read by its number: the order of an epoch is a permutation of all of them, and
going on in the middle of one passes over nothing.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext._data import example_proto, record_index, remote_records
from keras_convnext._data.class_folders import (
    EVALUATION_NAMES,
    TEST_NAMES,
    TRAIN_NAMES,
)
from keras_convnext._data.data_error import DataError, SplitError
from keras_convnext._data.record_files import STORES, Record, Store
from keras_convnext._data.record_index import LABELS, FileIndex, Index, RecordFiles
from keras_convnext._data.remote_files import is_url
from keras_convnext._files import first_few, is_hidden

# train-00000-of-01024, and whatever says "record", as tensorflow-datasets' files do.
_RECORD_FILE = re.compile(r"record|-\d+-of-\d+$", re.IGNORECASE)


@dataclass(frozen=True)
class Features:
    """What the features are called, and how classes are counted.

    Attributes:
        image: Holds the encoded image.
        label: Holds the number of its class.
        name: Holds the image's file name; records may be without.
        first_label: The number of the first class. 1 in the classic ImageNet files,
            which keep 0 for a background.
    """

    image: str = "image/encoded"
    label: str = "image/class/label"
    name: str = "image/filename"
    first_label: int = 0


def load(
    spec: str,
    *,
    store: str,
    validation_share: float | None,
    seed: int,
) -> RecordFiles:
    """Finds record files and looks at every record.

    Args:
        spec: A folder or a pattern of files; behind it, after commas, any of the
            fields of `Features`, as in "/data/imagenet,first_label=1". Files whose
            names say train or validation (or val, valid, test) are that part. Or the
            URL of a folder; see `remote_records.load`.
        store: "tfrecord" or "array_record".
        validation_share: Part that evaluation gets where no name says so; None gives
            it all, as training.
        seed: Of that split.

    Raises:
        DataError: With all that is wrong.
    """
    if is_url(spec):
        return remote_records.load(spec, store)
    pattern, features = _parsed(spec)
    train_files, evaluation_files = _parts(pattern)
    folder = train_files[0].parent
    train = _indexed(train_files, features, STORES[store])
    if evaluation_files:
        validation = _indexed(evaluation_files, features, STORES[store])
        labels = np.concatenate([train.labels, validation.labels])
        classes = _class_names(folder, labels, features)
        return RecordFiles(classes, train.every(), validation.every())
    classes = _class_names(folder, train.labels, features)
    if validation_share is None:
        return train.whole(classes)
    return train.drawn(classes, validation_share, seed, pattern)


def load_whole(spec: str, *, store: str, part: str) -> RecordFiles:
    """Finds record files for evaluation only: none are for training.

    Args:
        spec: As in `load`.
        store: As in `load`.
        part: "test" for the files whose names say so, or "all".

    Raises:
        DataError: With all that is wrong.
    """
    if is_url(spec):
        raise DataError(
            f"{spec}: at a URL the parts for training and validation are read, and not "
            f"{part!r}."
        )
    pattern, features = _parsed(spec)
    files = _files(pattern)
    if part == "test":
        files = _named(files, TEST_NAMES)
        if not files:
            raise DataError(f"{pattern} has no files whose name says test.")
    found = _indexed(files, features, STORES[store])
    return found.whole(_class_names(files[0].parent, found.labels, features))


def index_file(file: Path, store: str) -> FileIndex:
    """Looks at every record of one file.

    Args:
        file: The record file.
        store: "tfrecord" or "array_record".

    Raises:
        DataError: It cannot be read.
    """
    found = _indexed([file], Features(), STORES[store])
    names = record_index.join_names(found.names())
    return FileIndex(found.images[:, 1:], found.labels, names)


def is_record_file(path: Path) -> bool:
    """Returns True if a file is named as record files are."""
    return bool(_RECORD_FILE.search(path.name)) and not is_hidden(path.name)


def _parsed(spec: str) -> tuple[str, Features]:
    """Returns the pattern, and the features as the words behind it change them."""
    pattern, *settings = re.split(r",(?=\w+=)", spec)
    known = {field.name: field for field in fields(Features)}
    changes: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known:
            raise DataError(
                f"Record files have no {name!r}; behind their name may stand "
                f"{', '.join(f',{field}=' for field in known)}."
            )
        if name == "first_label" and not value.isdigit():
            raise DataError(f"first_label takes a whole number, not {value!r}.")
        changes[name] = int(value) if name == "first_label" else value
    return pattern, Features(**changes)


def _files(pattern: str) -> list[Path]:
    """Returns the record files that a folder or a pattern names, in order."""
    path = Path(pattern).expanduser()
    if path.is_dir():
        files = sorted(filter(is_record_file, path.iterdir()))
        record_index.require_all(path, (file.name for file in files))
        what = "holds no record files (their names say record, or end like -00000-of-8)"
    else:
        files = sorted(Path(name) for name in glob.glob(str(path)))
        what = "matches no files"
    files = [file for file in files if file.is_file()]
    if not files:
        raise DataError(f"{path} {what}.")
    return files


def _named(files: Sequence[Path], words: Sequence[str]) -> list[Path]:
    """Returns the files whose names hold the first of some words that any holds."""
    by_word = (
        [file for file in files if word in re.split("[^a-z]+", file.name.lower())]
        for word in words
    )
    return next((found for found in by_word if found), [])


def _parts(pattern: str) -> tuple[list[Path], list[Path]]:
    """Returns the files of training and of evaluation; the second may be empty."""
    files = _files(pattern)
    train = [file for word in TRAIN_NAMES for file in _named(files, [word])]
    validation = _named(files, EVALUATION_NAMES)
    if validation and not train:
        raise SplitError(
            f"{pattern} has files to evaluate on, such as {validation[0].name}, and "
            "none whose name says train."
        )
    return train or files, validation


def _class_names(
    folder: Path, labels: np.ndarray, features: Features
) -> tuple[str, ...]:
    """Returns the names, having made sure that every label has one."""
    lowest, highest = int(labels.min()), int(labels.max())
    file = folder / LABELS
    if file.is_file():
        names = tuple(file.read_text("utf-8").split("\n"))
        names = names[:-1] if names[-1] == "" else names
    else:
        # More classes than images are no classes: the feature holds something else.
        names = tuple(map(str, range(min(highest + 1, len(labels)))))
    if lowest == 0 and highest < len(names):
        return names
    first = features.first_label
    raise DataError(
        f"The labels in {folder} run from {lowest + first} to {highest + first}, not "
        f"from {first} to {first + len(names) - 1}. With ,first_label={lowest + first} "
        f"behind the path they are counted from there; the classes' names stand in "
        f"{LABELS} beside the files, one a line."
    )


def _indexed(
    files: Sequence[Path],
    features: Features,
    opened: Callable[[Sequence[Path]], Store],
) -> Index:
    """Looks at every record of some files that have no index beside them."""
    store = opened(files)

    def names() -> list[str]:
        return [_name(record, features.name) for record in store.records()]

    if features == Features() and (known := _known(files, store)) is not None:
        return known
    images, labels = [], []
    for number, (holder, data, start, end) in enumerate(store.records()):
        origin = f"record {number} of {files[0].parent}"
        found = _features(data, start, end, origin)
        image, label = found.get(features.image), found.get(features.label)
        place = image and example_proto.bytes_place(data, image)
        value = None if label is None else example_proto.integer(data, label)
        if place is None or value is None:
            name, kind = (
                (features.label, "whole number") if place else (features.image, "bytes")
            )
            raise DataError(
                f"The {origin} has no {kind} called {name!r}; it has "
                f"{first_few(sorted(found)) or 'none'}. Others are named behind the "
                "path: ,image=NAME,label=NAME"
            )
        images.append((holder, place[0], place[1] - place[0]))
        labels.append(value - features.first_label)
    if not labels:
        raise DataError(f"There are no records in {first_few(files)}.")
    return Index(np.array(images), np.array(labels), store.read, names)


def _known(files: Sequence[Path], store: Store) -> Index | None:
    """Returns the index by what lies beside each file; None if one has none."""
    found = list(map(record_index.read_index, files))
    known = [each for each in found if each is not None]
    holders = store.holders([len(each.labels) for each in known])
    if len(known) < len(files) or holders is None:
        return None
    return record_index.join_indexes(known, holders, store.read)


def _features(
    data: example_proto.Buffer, start: int, end: int, origin: str
) -> Mapping[str, example_proto.Place]:
    try:
        return example_proto.features(data, start, end)
    except ValueError as error:
        raise DataError(f"The {origin} is no tf.train.Example: {error}.") from error


def _name(record: Record, feature: str) -> str:
    """Returns the file name that a record notes; empty where it notes none."""
    _, data, start, end = record
    found = example_proto.features(data, start, end).get(feature)
    place = found and example_proto.bytes_place(data, found)
    return bytes(data[slice(*place)]).decode("utf-8", "replace") if place else ""
