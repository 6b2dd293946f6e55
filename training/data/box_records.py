"""Images with boxes that come one after the other, in tensorflow-datasets' records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from keras_convnext._data.coco_file import CocoImage, CocoObject

from ..augment.random_crop import Window
from . import decoding
from .box_examples import LEAST_PX, Boxes
from .graphs import as_written
from .pixels import epoch_key

Objects = Mapping[str, tf.Tensor]


@dataclass(frozen=True, eq=False)
class BoxRecords:
    """Encoded images, each with its number and its objects.

    Attributes:
        count: How many there are.
        stream: Returns a data set of (encoded image, objects); given a number it is in
            the random order of that number, given None in a fixed order. Objects have
            "bbox", ymin, xmin, ymax, xmax as shares of the image's sides, "label", and
            perhaps "is_crowd" and "area".
    """

    count: int
    stream: Callable[[int | None], tf.data.Dataset]

    @property
    def has_masks(self) -> bool:
        """False: tensorflow-datasets has no masks of objects."""
        return False

    @cached_property
    def max_objects(self) -> int:
        """The most objects of an image, at least 1; found by reading all of them."""
        # Nothing is decoded: specks count here, too.
        counts = self.stream(None).map(
            as_written(
                lambda _, objects: tf.reduce_sum(tf.cast(~_is_crowd(objects), tf.int32))
            )
        )
        return int(counts.reduce(1, tf.maximum))

    def in_order(self) -> tf.data.Dataset:
        """Returns (number, (encoded image, objects)) in a fixed order."""
        return self.stream(None).enumerate()

    def shuffled(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Returns the same in a random order; numbers are places in it."""
        return self.stream(epoch_key(seed, epoch)).enumerate()

    def number(self, record: Any) -> tf.Tensor:
        """Returns the place of a record of `in_order`, from 0."""
        return record[0]

    def is_wide(self, record: Any) -> tf.Tensor:
        """Returns whether an image is at least as wide as high."""
        _, (contents, _) = record
        sides = tf.cond(
            tf.io.is_jpeg(contents),
            lambda: tf.image.extract_jpeg_shape(contents),
            lambda: tf.shape(decoding.encoded_part(contents, None)),
        )
        return sides[1] >= sides[0]

    def image(
        self, record: Any, window: Window | None = None
    ) -> tuple[tf.Tensor, Boxes]:
        """Returns the decoded image and its objects.

        Raises:
            ValueError: A window is given; boxes would have to follow.
        """
        if window is not None:
            raise ValueError("Images with objects are read whole.")
        _, (contents, objects) = record
        image = decoding.encoded_part(contents, None)
        sides = tf.cast(tf.tile(tf.shape(image)[:2], [2]), tf.float32)
        boxes = tf.clip_by_value(objects["bbox"], 0.0, 1.0) * sides
        is_large = tf.reduce_all(boxes[:, 2:] - boxes[:, :2] >= LEAST_PX, axis=1)
        kept = is_large & ~_is_crowd(objects)
        classes = tf.cast(objects["label"], tf.int32)
        return image, Boxes(
            tf.boolean_mask(boxes, kept), tf.boolean_mask(classes, kept)
        )

    def masks(
        self, record: Any, kept: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor
    ) -> tf.Tensor:
        """Returns none, as there are none.

        Raises:
            ValueError: Always.
        """
        raise ValueError("These objects have no masks.")

    def names(self) -> tuple[str, ...]:
        """Returns nothing: the records have no names."""
        return ()

    def described(self) -> Iterator[CocoImage]:
        """Yields each image with all of its objects, crowds too, in order."""
        shapes = self.in_order().map(
            as_written(
                lambda number, rest: (
                    number,
                    tf.shape(decoding.encoded_part(rest[0], None))[:2],
                    {**rest[1], "is_crowd": _is_crowd(rest[1])},
                )
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        for number, (height, width), objects in shapes.as_numpy_iterator():
            yield CocoImage(
                str(number),
                int(height),
                int(width),
                tuple(_objects(objects, int(height), int(width))),
                int(number),
            )


def _is_crowd(objects: Objects) -> tf.Tensor:
    if "is_crowd" in objects:
        return objects["is_crowd"]
    return tf.zeros_like(objects["label"], tf.bool)


def _objects(
    objects: Mapping[str, np.ndarray], height: int, width: int
) -> Iterator[CocoObject]:
    sides = np.array([height, width] * 2, float)
    corners = objects["bbox"].astype(float) * sides
    for number, (top, left, bottom, right) in enumerate(corners.tolist()):
        wide, high = right - left, bottom - top
        area = objects["area"][number] if "area" in objects else wide * high
        yield CocoObject(
            int(objects["label"][number]),
            (left, top, wide, high),
            float(area),
            bool(objects["is_crowd"][number]),
            None,
        )
