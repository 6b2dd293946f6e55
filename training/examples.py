"""Labelled pictures, held in memory, lying in files, or read from tfds records.

Each class offers the same three things. `in_order` and `shuffled` give light records:
a row number, or a still encoded picture, so that passing over some costs next to
nothing. `picture` turns one record into pixels, and is run in parallel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from keras_convnext import image


class DataError(ValueError):
    """The data cannot be used; its text says why and what to do."""


class Examples(Protocol):
    """Labelled pictures in some store."""

    @property
    def count(self) -> int:
        """How many there are."""

    def in_order(self) -> tf.data.Dataset:
        """Returns every record once, in a fixed order."""

    def shuffled(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Returns every record once, in the order that the two numbers give."""

    def picture(self, record: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns pixels, uint8 `(height, width, 3)`, and the label, int32."""


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
def decoded(contents: tf.Tensor) -> tf.Tensor:
    """Returns `image.decode` of a file; its graph is built once, not every epoch."""
    return image.decode(contents)


def epoch_key(seed: int, epoch: int) -> int:
    """Returns 63 bits that stand for this epoch of this run."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    return int(state >> np.uint64(1))


class _Numbered:
    """Records that are row numbers, for stores that any row can be had from."""

    labels: np.ndarray

    @property
    def count(self) -> int:
        """How many examples there are."""
        return len(self.labels)

    def in_order(self) -> tf.data.Dataset:
        """Returns the row numbers from 0 on."""
        return tf.data.Dataset.range(self.count)

    def shuffled(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Returns the row numbers in a random order."""
        generator = np.random.default_rng(epoch_key(seed, epoch))
        return tf.data.Dataset.from_tensor_slices(generator.permutation(self.count))


@dataclass(frozen=True, eq=False)
class Pixels(_Numbered):
    """Decoded pictures of one size, in memory.

    Attributes:
        images: uint8 `(count, height, width, 3)`.
        labels: int32 `(count,)`.
    """

    images: np.ndarray
    labels: np.ndarray

    @cached_property
    def _tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
        # Kept over epochs, so never part of the function that asks first; and an
        # accelerator's memory is for the model.
        with tf.init_scope(), tf.device("cpu:0"):
            return tf.constant(self.images), tf.constant(self.labels)

    def picture(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the picture and the label of a row."""
        images, labels = self._tensors
        return images[record], labels[record]


@dataclass(frozen=True, eq=False)
class Files(_Numbered):
    """Picture files.

    Attributes:
        paths: Where each lies.
        labels: int32 `(count,)`.
    """

    paths: tuple[str, ...]
    labels: np.ndarray

    @cached_property
    def _tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.init_scope(), tf.device("cpu:0"):
            return tf.constant(self.paths), tf.constant(self.labels)

    def picture(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the picture and the label of a row."""
        paths, labels = self._tensors
        return decoded(tf.io.read_file(paths[record])), labels[record]


@dataclass(frozen=True, eq=False)
class Encoded:
    """Encoded pictures that come one after the other.

    Attributes:
        count: How many there are.
        stream: Returns a data set of (contents, label); given a number it is in the
            random order of that number, given None in a fixed order.
    """

    count: int
    stream: Callable[[int | None], tf.data.Dataset]

    def in_order(self) -> tf.data.Dataset:
        """Returns (contents, label) in a fixed order."""
        return self.stream(None)

    def shuffled(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Returns (contents, label) in a random order."""
        return self.stream(epoch_key(seed, epoch))

    def picture(
        self, record: tuple[tf.Tensor, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the decoded picture and the label."""
        contents, label = record
        return decoded(contents), tf.cast(label, tf.int32)
