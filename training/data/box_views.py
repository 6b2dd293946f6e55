"""What training and evaluation see of an image with objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_convnext.image import evaluation_view
from keras_convnext.preprocessing import SMALLEST_PX, Preprocessing

from ..augment import box_transforms
from ..recipes.box_augmentation import BoxAugmentation
from .box_examples import BoxExamples
from .examples import read_some
from .graphs import as_written
from .pipeline import Filling

Truth = dict[str, tf.Tensor]
# What rows that fill up a batch have instead of an image's number.
NO_NUMBER = -1


def make_training_view(
    examples: BoxExamples,
    augmentation: BoxAugmentation,
    preprocessing: Preprocessing,
) -> Callable[[Any, tf.Tensor], tuple[tf.Tensor, Truth]]:
    """Returns a function from a record and a seed to an augmented image and its truth.

    The image is uint8 `(height, width, 3)`, of a size of its own.
    """

    def view(record: Any, seed: tf.Tensor) -> tuple[tf.Tensor, Truth]:
        image, (boxes, classes) = examples.image(record)
        seen, step_seed = box_transforms.augment(
            image, boxes, seed, augmentation, size_px=preprocessing.size_px
        )
        truth = {
            "size": tf.shape(seen.image)[:2],
            "boxes": seen.boxes,
            "classes": tf.gather(classes, seen.kept),
            "seed": tf.cast(step_seed % np.iinfo(np.int32).max, tf.int32),
        }
        if examples.has_masks:
            masks = examples.masks(record, seen.kept, seen.rows, seen.columns)
            truth["masks"] = masks
            if augmentation.jitter is not None:
                truth["boxes"] = box_transforms.boxes_of(masks)
                is_left = tf.reduce_any(truth["boxes"] > 0, axis=1)
                for name in ("boxes", "classes", "masks"):
                    truth[name] = tf.boolean_mask(truth[name], is_left)
        return seen.image, truth

    return view


def make_collate(
    examples: BoxExamples, augmentation: BoxAugmentation, preprocessing: Preprocessing
) -> Callable[[tf.data.Dataset, int], tf.data.Dataset]:
    """Returns a function from training views and rows to batches of them.

    Images are filled up right and below with the mean color, and truths with objects of
    class -1, up to the most that an image of the data has: what a step draws would
    depend on the other images otherwise. Masks, which are large and not drawn from, are
    filled up to the most of the batch.
    """
    side = preprocessing.size_px if augmentation.is_square else None
    most = examples.max_objects
    levels = tuple(np.uint8(round(255 * mean)) for mean in preprocessing.mean)
    shapes: dict[str, list[int | None]]
    shapes = {"size": [2], "boxes": [most, 4], "classes": [most], "seed": [2]}
    values: dict[str, np.generic] = dict.fromkeys(shapes, np.int32(0))
    values |= {"boxes": np.float32(0), "classes": np.int32(-1)}
    if examples.has_masks:
        shapes["masks"] = [None, side, side]
        values["masks"] = np.uint8(0)

    def collate(rows: tf.data.Dataset, count: int) -> tf.data.Dataset:
        # Of an array all channels would be filled up with one level.
        apart = rows.map(
            as_written(lambda image, truth: (tuple(tf.unstack(image, 3, -1)), truth))
        )
        padded = apart.padded_batch(
            count, (([side, side],) * 3, shapes), (levels, values), drop_remainder=True
        )
        return padded.map(as_written(finished), num_parallel_calls=tf.data.AUTOTUNE)

    def finished(channels: Any, truth: Truth) -> tuple[tf.Tensor, Truth]:
        if "masks" in truth:
            # A step reads one of each image, even where there is none.
            masks = truth["masks"]
            missing = tf.maximum(1 - tf.shape(masks)[1], 0)
            padded = tf.pad(masks, [[0, 0], [0, missing], [0, 0], [0, 0]])
            # Padding forgets the sizes that are known: a step in parts needs one.
            truth = {**truth, "masks": tf.ensure_shape(padded, masks.shape)}
        return tf.stack(channels, -1), truth

    return collate


def make_arrange(
    examples: BoxExamples, global_batch: int
) -> Callable[[tf.data.Dataset], tf.data.Dataset]:
    """Returns a function that puts wide and high images into batches of their own.

    Records keep their order but for that. The last batch has what is left of both.

    Source: mmdetection 3.3.0, AspectRatioBatchSampler.
    """

    def arrange(records: tf.data.Dataset) -> tf.data.Dataset:
        return records.group_by_window(
            as_written(
                lambda *record: tf.cast(
                    examples.is_wide(record[0] if len(record) == 1 else record),
                    tf.int64,
                )
            ),
            lambda _, window: window,
            window_size=global_batch,
        )

    return arrange


def make_evaluation_view(
    examples: BoxExamples, preprocessing: Preprocessing
) -> Callable[[Any], tuple[tf.Tensor, Truth]]:
    """Returns a function from a record to what a network sees, number and sizes.

    The image is whole and float32, resized by the rule of inference.
    """

    def view(record: Any) -> tuple[tf.Tensor, Truth]:
        image, _ = examples.image(record)
        seen = evaluation_view(image, preprocessing)
        truth = {
            "number": tf.cast(examples.number(record), tf.int32),
            "shape": tf.shape(image)[:2],
            "size": tf.shape(seen)[:2],
        }
        return tf.ensure_shape(seen, (None, None, 3)), truth

    return view


def make_filling() -> Filling:
    """Returns what fills up batches: black, and no image's number."""
    image = np.zeros((SMALLEST_PX, SMALLEST_PX, 3), np.float32)
    number, sides = np.int32(NO_NUMBER), np.array(image.shape[:2], np.int32)
    return Filling(
        (image, {"number": number, "shape": sides, "size": sides}),
        (np.float32(0), dict.fromkeys(("number", "shape", "size"), number)),
    )


def read_images(
    examples: BoxExamples, numbers: Any
) -> tuple[list[np.ndarray], list[dict[str, np.ndarray]]]:
    """Returns the images of these numbers and their truths, each of its own size.

    Args:
        examples: What is read.
        numbers: Places in its order, in any order.
    """

    def read(record: Any) -> tuple[tf.Tensor, Truth]:
        image, (boxes, classes) = examples.image(record)
        truth = {"boxes": boxes, "classes": classes}
        if examples.has_masks:
            height, width, _ = tf.unstack(tf.shape(image))
            every = tf.range(tf.shape(boxes)[0])
            truth["masks"] = examples.masks(
                record, every, tf.range(height), tf.range(width)
            )
        return image, truth

    rows = read_some(examples, numbers, read)
    return [image for image, _ in rows], [truth for _, truth in rows]
