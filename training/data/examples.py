"""Labeled images, held in memory, lying in files, or read from tfds records.

Each class offers the same four things. `in_order` and `shuffled` give light records:
a row number, or a still encoded image, so that passing over some costs next to
nothing. `image` turns one record into pixels, and is run in parallel. `names` are
what the images' files were called.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from keras_convnext._data import archives

from ..augment.random_crop import Window
from . import decoding
from .graphs import as_written
from .pixels import Numbered, epoch_key


class Examples(Protocol):
    """Images in some store, each with what is joined to it: its label, for one."""

    @property
    def count(self) -> int:
        """How many there are."""

    def in_order(self) -> tf.data.Dataset:
        """Returns every record once, in a fixed order."""

    def shuffled(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Returns every record once, in the order that the two numbers give."""

    def image(self, record: Any, window: Window | None = None) -> tuple[tf.Tensor, Any]:
        """Returns an image, or the part of it in a window, and what is joined to it.

        uint8 `(height, width, 3)`, and for labeled images an int32 scalar.
        """

    def names(self) -> tuple[str, ...]:
        """Returns the images' file names in order; none where nobody kept them."""


def read_some(
    examples: Examples, numbers: Any, read: Callable[[Any], Any]
) -> list[Any]:
    """Returns some examples as NumPy arrays.

    Args:
        examples: What is read.
        numbers: Places in its order, in any order.
        read: From a record to what is wanted of it.

    Returns:
        What was read, in the order of the numbers.
    """
    wanted = np.asarray(numbers, np.int64)
    places = tf.constant(wanted)
    rows = (
        examples.in_order()
        .enumerate()
        .filter(as_written(lambda number, *_: tf.reduce_any(places == number)))
        .map(as_written(lambda _, record: read(record)))
    )
    # Records come in their own order.
    found = list(rows.as_numpy_iterator())
    return [found[place] for place in np.argsort(np.argsort(wanted))]


@contextlib.contextmanager
def _host() -> Iterator[None]:
    """Makes tensors that outlive the graph being built, in the host's memory."""
    # An accelerator's memory is for the model.
    with tf.init_scope(), tf.device("cpu:0"):
        yield


@dataclass(frozen=True, eq=False)
class Files(Numbered):
    """Image files, in archives or not.

    Attributes:
        paths: Where each lies.
        labels: int32 `(count,)`.
        ways: How each is read, of those in `decoding`; int32 `(count,)`.
        originals: The person's own files, where some of `paths` are copies of them.
    """

    paths: tuple[str | bytes, ...]
    labels: np.ndarray
    ways: np.ndarray
    originals: tuple[str, ...] = ()

    @cached_property
    def _tensors(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        with _host():
            return (
                tf.constant(self.paths),
                tf.constant(self.labels),
                tf.constant(self.ways),
            )

    def image(
        self, record: tf.Tensor, window: Window | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the image and the label of a row."""
        paths, labels, ways = self._tensors
        contents = self._read(paths[record])
        every_way = frozenset(np.unique(self.ways).tolist())
        pixels = decoding.part(contents, ways[record], every_way, window)
        return pixels, labels[record]

    @cached_property
    def _read(self) -> Callable[[tf.Tensor], tf.Tensor]:
        is_inside = any(map(archives.may_be_inside, self.paths))
        return _read_by_python if is_inside else tf.io.read_file

    def names(self) -> tuple[str, ...]:
        """Returns the paths of the person's own files."""
        return self.originals or tuple(map(os.fsdecode, self.paths))


def _read_by_python(path: tf.Tensor) -> tf.Tensor:
    """Returns the contents of a file, which may lie in an archive."""

    def read(name: bytes) -> bytes:
        return archives.read_bytes(Path(os.fsdecode(name)))

    # Only the reading holds Python's lock; what follows runs in parallel.
    contents = tf.numpy_function(read, [path], tf.string, stateful=False)
    return tf.ensure_shape(contents, ())


@dataclass(frozen=True, eq=False)
class Records(Numbered):
    """Encoded images in files of many, any of which can be had by its number.

    Attributes:
        total: How many there are.
        read: Returns the encoded image and the label of a row.
        labels: int32 `(count,)`, where they are known beforehand.
        read_names: Returns the images' file names; None where there are none.
    """

    total: int
    read: Callable[[int], tuple[bytes, int]]
    labels: np.ndarray | None = None
    read_names: Callable[[], tuple[str, ...]] | None = None

    @property
    def count(self) -> int:
        """How many examples there are."""
        return self.total

    def image(
        self, record: tf.Tensor, window: Window | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the image and the label of a row."""

        def row(number: np.ndarray) -> tuple[bytes, np.int32]:
            contents, label = self.read(int(number))
            return contents, np.int32(label)

        # Only the reading holds Python's lock; what follows runs in parallel.
        contents, label = (
            tf.ensure_shape(tensor, ())
            for tensor in tf.numpy_function(
                row, [record], (tf.string, tf.int32), stateful=False
            )
        )
        return decoding.encoded_part(contents, window), label

    def names(self) -> tuple[str, ...]:
        """Returns the file names that the records note."""
        return self.read_names() if self.read_names else ()


@dataclass(frozen=True, eq=False)
class Encoded:
    """Encoded images that come one after the other.

    Attributes:
        count: How many there are.
        stream: Returns a data set of (contents, label); given a number it is in the
            random order of that number, given None in a fixed order.
        read_names: Returns the images' file names; None where there are none.
    """

    count: int
    stream: Callable[[int | None], tf.data.Dataset]
    read_names: Callable[[], tuple[str, ...]] | None = None

    def in_order(self) -> tf.data.Dataset:
        """Returns (contents, label) in a fixed order."""
        return self.stream(None)

    def shuffled(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Returns (contents, label) in a random order."""
        return self.stream(epoch_key(seed, epoch))

    def image(
        self, record: tuple[tf.Tensor, tf.Tensor], window: Window | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the decoded image and the label."""
        contents, label = record
        return decoding.encoded_part(contents, window), tf.cast(label, tf.int32)

    def names(self) -> tuple[str, ...]:
        """Returns the file names that the data set notes."""
        return self.read_names() if self.read_names else ()
