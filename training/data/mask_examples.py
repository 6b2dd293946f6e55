"""Images with a mask each: in files, or in the records of tensorflow-datasets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from keras_convnext._data.mask_classes import MaskClasses
from keras_convnext.segmentation.inference import label_dtype

from ..augment.random_crop import Window
from . import decoding
from .examples import Files
from .mask_files import decode_mask
from .pixels import Numbered, epoch_key


@dataclass(frozen=True, eq=False)
class MaskFiles(Numbered):
    """Image files and mask files.

    Attributes:
        images: The images; their labels are not used.
        masks: Where the mask of each lies: a gray PNG file.
        bits: Of a number in each mask, 8 or 16; int32 `(count,)`.
        classes: What the numbers mean.
        pixels: How many pixels each class has, int64 `(classes,)`.
    """

    images: Files
    masks: tuple[bytes, ...]
    bits: np.ndarray
    classes: MaskClasses
    pixels: np.ndarray
    labels: None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.masks)

    @cached_property
    def _tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.init_scope(), tf.device("cpu:0"):
            return tf.constant(self.masks), tf.constant(self.bits)

    def image(
        self, record: tf.Tensor, window: Window | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the image and the mask of a row, or the same part of both."""
        paths, bits = self._tensors
        image, _ = self.images.image(record, window)
        contents = tf.io.read_file(paths[record])
        if (self.bits == self.bits[0]).all():
            numbers = decode_mask(contents, int(self.bits[0]))
        else:
            numbers = tf.cond(
                bits[record] == 16,
                lambda: tf.cast(decode_mask(contents, 16), tf.int32),
                lambda: tf.cast(decode_mask(contents, 8), tf.int32),
            )
        return image, decoding.cut_out(to_labels(numbers, self.classes), window)

    def names(self) -> tuple[str, ...]:
        """Returns the paths of the person's own image files."""
        return self.images.names()


@dataclass(frozen=True, eq=False)
class MaskRecords:
    """Encoded images and masks that come one after the other.

    Attributes:
        count: How many there are.
        stream: Returns a data set of (image, mask), both encoded; given a number it is
            in the random order of that number, given None in a fixed order.
        classes: What the first channel of a mask means.
    """

    count: int
    stream: Callable[[int | None], tf.data.Dataset]
    classes: MaskClasses

    def in_order(self) -> tf.data.Dataset:
        """Returns (image, mask) in a fixed order."""
        return self.stream(None)

    def shuffled(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Returns (image, mask) in a random order."""
        return self.stream(epoch_key(seed, epoch))

    def image(
        self, record: Any, window: Window | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the decoded image and its mask, or the same part of both."""
        contents, mask = record
        # One channel would be a mixture of the three.
        numbers = tf.image.decode_png(mask, channels=3)[..., 0]
        labels = to_labels(numbers, self.classes)
        return decoding.encoded_part(contents, window), decoding.cut_out(labels, window)

    def names(self) -> tuple[str, ...]:
        """Returns nothing: the records have no names."""
        return ()


def to_labels(numbers: tf.Tensor, classes: MaskClasses) -> tf.Tensor:
    """Returns the labels of a mask's numbers, those without a meaning as ignored.

    Args:
        numbers: Integers of any shape, 0 to 65535.
        classes: What they mean.

    Returns:
        The same shape: uint8, or int32 for more than 255 classes.
    """
    if numbers.dtype == tf.uint8 and classes.is_identity:
        return numbers
    labels = np.where(classes.labels < 0, classes.ignored, classes.labels)
    table = tf.constant(labels.astype(label_dtype(len(classes.names))))
    return tf.gather(table, tf.cast(numbers, tf.int32))
