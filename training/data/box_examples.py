"""Images with objects in files: boxes from memory, masks drawn when they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from keras_convnext._data import coco_masks
from keras_convnext._data.coco_file import CocoImage, CocoObject

from ..augment.random_crop import Window
from .examples import Examples, Files
from .pixels import Numbered

# Nothing learns from an object with a smaller side. Source: mmdetection 3.3.0, its
# CocoDataset.
LEAST_PX = 1.0


class Boxes(NamedTuple):
    """The objects of an image that training sees: no crowds.

    Attributes:
        boxes: y0, x0, y1, x1 in pixels, within the image, float32 `(objects, 4)`.
        classes: int32 `(objects,)`.
    """

    boxes: tf.Tensor
    classes: tf.Tensor


class BoxExamples(Examples, Protocol):
    """Images with objects in some store."""

    @property
    def max_objects(self) -> int:
        """The most objects of an image, at least 1."""

    @property
    def has_masks(self) -> bool:
        """Whether the objects have masks."""

    def number(self, record: Any) -> tf.Tensor:
        """Returns the place of a record of `in_order`, from 0."""

    def is_wide(self, record: Any) -> tf.Tensor:
        """Returns whether an image is at least as wide as high."""

    def masks(
        self, record: Any, kept: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor
    ) -> tf.Tensor:
        """Returns chosen rows and columns of the masks of chosen objects.

        Args:
            record: Of an image.
            kept: Numbers of its objects, int32 `(objects,)`.
            rows: Of the image, int32 `(h,)`.
            columns: Likewise, int32 `(w,)`.

        Returns:
            0 or 1, uint8 `(objects, h, w)`.
        """

    def described(self) -> Iterable[CocoImage]:
        """Returns each image with all of its objects, crowds too, in order."""


@dataclass(frozen=True, eq=False)
class BoxFiles(Numbered):
    """Image files with the objects in them.

    Attributes:
        images: The files; their labels are not used.
        objects: What is in each.
        has_masks: Whether the objects have masks.
    """

    images: Files
    objects: tuple[CocoImage, ...]
    has_masks: bool
    labels: None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.objects)

    @property
    def max_objects(self) -> int:
        """The most objects of an image, at least 1."""
        return max(1, *map(len, self._trained))

    @cached_property
    def _trained(self) -> list[list[CocoObject]]:
        return [trained(image.objects) for image in self.objects]

    @cached_property
    def _tensors(self) -> tuple[tf.Tensor, ...]:
        counts = [len(objects) for objects in self._trained]
        boxes = [
            corners(one.box, image.height, image.width)
            for image, objects in zip(self.objects, self._trained, strict=True)
            for one in objects
        ]
        classes = [one.label for objects in self._trained for one in objects]
        with tf.init_scope(), tf.device("cpu:0"):
            return (
                tf.constant(np.cumsum([0, *counts])),
                tf.constant(np.array(boxes, np.float32).reshape(-1, 4)),
                tf.constant(np.array(classes, np.int32)),
                tf.constant([image.width >= image.height for image in self.objects]),
            )

    def image(
        self, record: tf.Tensor, window: Window | None = None
    ) -> tuple[tf.Tensor, Boxes]:
        """Returns the image of a row and its objects.

        Raises:
            ValueError: A window is given; boxes would have to follow.
        """
        if window is not None:
            raise ValueError("Images with objects are read whole.")
        ends, boxes, classes, _ = self._tensors
        own = slice(ends[record], ends[record + 1])
        image, _ = self.images.image(record)
        return image, Boxes(boxes[own], classes[own])

    def number(self, record: tf.Tensor) -> tf.Tensor:
        """Returns the row."""
        return record

    def is_wide(self, record: tf.Tensor) -> tf.Tensor:
        """Returns whether an image is at least as wide as high."""
        return self._tensors[3][record]

    def masks(
        self, record: Any, kept: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor
    ) -> tf.Tensor:
        """Returns chosen rows and columns of the masks of chosen objects.

        One mask at a time is drawn in the image's own size.
        """

        def drawn(
            number: np.ndarray, kept: np.ndarray, rows: np.ndarray, columns: np.ndarray
        ) -> np.ndarray:
            image = self.objects[number]
            masks = np.zeros((len(kept), len(rows), len(columns)), np.uint8)
            for mask, one in zip(masks, kept, strict=True):
                segmentation = self._trained[number][one].segmentation
                assert segmentation is not None  # all have one where any has
                coco_masks.draw(
                    segmentation, (image.height, image.width), rows, columns, mask
                )
            return masks

        masks = tf.numpy_function(
            drawn, [record, kept, rows, columns], tf.uint8, stateful=False
        )
        return tf.ensure_shape(masks, (None, None, None))

    def names(self) -> tuple[str, ...]:
        """Returns the paths of the person's own image files."""
        return self.images.names()

    def described(self) -> Sequence[CocoImage]:
        """Returns each image with all of its objects, crowds too, in order."""
        return self.objects


def trained(objects: Iterable[CocoObject]) -> list[CocoObject]:
    """Returns the objects that training sees: no crowds, no specks."""
    return [one for one in objects if not one.is_crowd and min(one.box[2:]) >= LEAST_PX]


def corners(
    box: tuple[float, float, float, float], height: int, width: int
) -> tuple[float, float, float, float]:
    """Returns y0, x0, y1, x1 within the image, of left, top, width and height."""
    left, top, wide, high = box
    return (
        max(top, 0.0),
        max(left, 0.0),
        min(top + high, float(height)),
        min(left + wide, float(width)),
    )
