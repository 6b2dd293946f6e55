"""What training and evaluation see of a labeled image, and batches that are mixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_convnext._data.data_error import DataError
from keras_convnext.image import evaluation_view
from keras_convnext.preprocessing import Preprocessing

from ..augment.mixup_cutmix import mixup_cutmix
from ..augment.transforms import augment, crop
from ..recipes.augmentation import Augmentation
from .examples import Examples


def make_training_view(
    examples: Examples, augmentation: Augmentation, preprocessing: Preprocessing
) -> Callable[[Any, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Returns a function from a record and a seed to an augmented image and its label.

    The image is uint8 `(size, size, 3)`, the label int32.

    Raises:
        DataError: Images are to be shifted out of sight.
    """
    if augmentation.shift_px >= preprocessing.size_px:
        raise DataError(
            f"A shift of up to {augmentation.shift_px} pixels leaves nothing of "
            f"images of {preprocessing.size_px} pixels."
        )

    def view(record: Any, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, label = examples.image(record, crop(seed, augmentation))
        image = augment(image, seed, augmentation, preprocessing)
        return tf.ensure_shape(image, _shape(preprocessing)), label

    return view


def make_mix(
    augmentation: Augmentation, classes: int
) -> Callable[[Any, tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None:
    """Returns a function from a batch and a seed to the mixed batch, None for no mix.

    Labels become float32 `(batch, classes)`.
    """
    if not augmentation.mixes:
        return None

    def mix(batch: Any, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = batch
        return mixup_cutmix(images, labels, seed, classes, augmentation)

    return mix


def make_evaluation_view(
    examples: Examples, preprocessing: Preprocessing
) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor]]:
    """Returns a function from a record to float32 `(size, size, 3)` and its label."""

    def view(record: Any) -> tuple[tf.Tensor, tf.Tensor]:
        image, label = examples.image(record)
        seen = evaluation_view(image, preprocessing)
        return tf.ensure_shape(seen, _shape(preprocessing)), label

    return view


def _shape(preprocessing: Preprocessing) -> tuple[int, int, int]:
    return preprocessing.size_px, preprocessing.size_px, 3
