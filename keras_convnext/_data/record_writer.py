"""Writes images as record files: TFRecord or ArrayRecord, a tf.train.Example each.

A file appears when it is whole, with the index of its images beside it. Files that are
there are not written again, so that the same command goes on after a stop.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_convnext import _files
from keras_convnext._data import record_index, records
from keras_convnext._data.data_error import DataError
from keras_convnext._data.record_files import NEEDS_ARRAY_RECORD
from keras_convnext._data.record_index import Records
from keras_convnext.image import files as image_files

# Images that are in memory at a time.
_TOGETHER = 256


@dataclass(frozen=True)
class Shard:
    """One record file to write.

    Attributes:
        file: Where it is to appear.
        images: What its images are drawn from.
        rows: Which of them, in the order of the file.
        classes: Names of the classes.
        store: "tfrecord" or "array_record".
    """

    file: Path
    images: Records
    rows: np.ndarray
    classes: tuple[str, ...]
    store: str

    @property
    def is_written(self) -> bool:
        """Whether the file and its index are there."""
        return record_index.read_index(self.file) is not None


@dataclass(frozen=True)
class _Row:
    """One image on its way into a file; a problem where it cannot be used."""

    number: int
    contents: bytes
    label: int
    problem: str = ""


def write_shard(
    shard: Shard, names: Sequence[str], skip_bad: bool
) -> list[tuple[str, str]]:
    """Decodes the images of a shard, and writes those that can be used.

    What only Pillow decodes is written as PNG, pixel by pixel the same.

    Args:
        shard: What to write.
        names: File names of all of its `images`; empty where they have none.
        skip_bad: Leave out what cannot be used instead of refusing the file.

    Returns:
        Name and problem of each image that cannot be used.

    Raises:
        DataError: Some cannot be used, or, with `skip_bad`, none can.
        OSError: The file cannot be written.
    """
    bad: list[tuple[str, str]] = []
    shard.file.parent.mkdir(parents=True, exist_ok=True)
    record_index.remove_index(shard.file)
    with _files.replacing(shard.file) as partial:
        with closing(_WRITERS[shard.store](str(partial))) as writer:
            for row in _checked_rows(shard):
                name = names[row.number] if names else ""
                if row.problem:
                    word = shard.classes[row.label]
                    bad.append((f"{word}/{name or row.number}", row.problem))
                    continue
                writer.write(_example(row, shard.classes[row.label], name))
        if bad and not (skip_bad and len(bad) < len(shard.rows)):
            lines = _files.first_few((f"{name}: {why}" for name, why in bad), "\n  ")
            advice = "" if skip_bad else " (--skip_bad_images leaves them out)"
            raise DataError(
                f"{len(bad):,} of the {len(shard.rows):,} images of {shard.file.name} "
                f"cannot be used{advice}:\n  {lines}"
            )
    # Read as training reads it: a file that has an index has been found to be whole.
    record_index.write_index(shard.file, records.index_file(shard.file, shard.store))
    return bad


def _checked_rows(shard: Shard) -> Iterator[_Row]:
    """Reads and decodes images, some at a time, in threads."""

    def check(number: int) -> _Row:
        contents, label = shard.images.read(number)
        row = _Row(number, contents, label)
        try:
            decoded = image_files.decode_file(contents)
        except image_files.Unreadable as error:
            return replace(row, problem=str(error))
        if decoded.is_read_by_graph:
            return row
        file = io.BytesIO()
        Image.fromarray(decoded.pixels).save(file, "PNG", compress_level=1)
        return replace(row, contents=file.getvalue())

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for first in range(0, len(shard.rows), _TOGETHER):
                numbers = shard.rows[first : first + _TOGETHER].tolist()
                yield from pool.map(check, numbers)
        finally:
            pool.shutdown(cancel_futures=True)


def _example(row: _Row, word: str, name: str) -> bytes:
    def feature(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = records.Features()
    label = tf.train.Feature(int64_list=tf.train.Int64List(value=[row.label]))
    fields = {
        features.image: feature(row.contents),
        features.label: label,
        "image/class/text": feature(word.encode()),
    }
    if name:
        fields[features.name] = feature(name.encode("utf-8", "surrogateescape"))
    whole = tf.train.Example(features=tf.train.Features(feature=fields))
    return bytes(whole.SerializeToString(deterministic=True))


def _array_record_writer(path: str) -> Any:
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise DataError(NEEDS_ARRAY_RECORD) from error
    # Any image can be read without those around it.
    return array_record_module.ArrayRecordWriter(path, "group_size:1")


_WRITERS: dict[str, Callable[[str], Any]] = {
    "tfrecord": tf.io.TFRecordWriter,
    "array_record": _array_record_writer,
}
