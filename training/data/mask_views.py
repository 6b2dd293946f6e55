"""What training and evaluation see of an image with a mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_convnext._data.mask_classes import ignored_label
from keras_convnext.image import evaluation_view
from keras_convnext.preprocessing import SMALLEST_PX, Preprocessing
from keras_convnext.segmentation.inference import label_dtype

from ..augment import mask_transforms
from ..recipes.mask_augmentation import MaskAugmentation
from .examples import Examples, read_some
from .pipeline import Filling


def make_training_view(
    examples: Examples,
    augmentation: MaskAugmentation,
    preprocessing: Preprocessing,
    classes: int,
) -> Callable[[Any, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Returns a function from a record and a seed to an augmented image and its mask.

    The image is uint8 `(size, size, 3)`, the mask `(size, size)`.
    """
    red, green, blue = (round(255 * mean) for mean in preprocessing.mean)

    def view(record: Any, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, mask = examples.image(record)
        return mask_transforms.augment(
            image,
            mask,
            seed,
            augmentation,
            size_px=preprocessing.size_px,
            fill=(red, green, blue),
            masks=mask_transforms.Masks(classes, ignored_label(classes)),
        )

    return view


def make_evaluation_view(
    examples: Examples, preprocessing: Preprocessing
) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor]]:
    """Returns a function from a record to the image that a network sees, and its mask.

    The image is whole and float32, resized with its ratio kept; the mask has the
    image's own size.
    """
    whole = replace(preprocessing, crop_mode="keep_ratio")

    def view(record: Any) -> tuple[tf.Tensor, tf.Tensor]:
        image, mask = examples.image(record)
        return tf.ensure_shape(evaluation_view(image, whole), (None, None, 3)), mask

    return view


def make_filling(classes: int) -> Filling:
    """Returns what fills up batches: black, and pixels that do not count."""
    side = SMALLEST_PX
    label = np.array(ignored_label(classes), label_dtype(classes))
    image = np.zeros((side, side, 3), np.float32)
    return Filling((image, np.full((side, side), label)), (np.float32(0), label))


def read_images(
    examples: Examples, numbers: Any
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the images of these numbers and their masks, each of its own size.

    Args:
        examples: What is read.
        numbers: Places in its order, in any order.
    """
    rows = read_some(examples, numbers, examples.image)
    return [image for image, _ in rows], [mask for _, mask in rows]
