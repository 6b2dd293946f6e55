"""What training and validation see of an image without labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_convnext.preprocessing import Preprocessing

from ..recipes.augmentation import Augmentation
from . import labeled_views
from .examples import Examples
from .pixels import epoch_key

# Masks of training have seeds apart from the augmentation's. Those of validation come
# from the image's number alone.
_MASKS, _VALIDATION = 1, 2

View = tuple[tf.Tensor, tf.Tensor]


@dataclass(frozen=True, eq=False)
class CountedExamples:
    """Examples in their order, each record with its number before it.

    Attributes:
        examples: The examples.
    """

    examples: Examples

    @property
    def count(self) -> int:
        """How many there are."""
        return self.examples.count

    def in_order(self) -> tf.data.Dataset:
        """Returns (number, record)."""
        return self.examples.in_order().enumerate()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.examples, name)


def make_training_view(
    examples: Examples,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
    patches: int,
) -> Callable[[Any, tf.Tensor], View]:
    """Returns a function from a record and a seed to an augmented image and an order.

    The image is uint8 `(size, size, 3)`, the order of its patches int32 `(patches,)`.

    Raises:
        DataError: Images are to be shifted out of sight.
    """
    labeled = labeled_views.make_training_view(examples, augmentation, preprocessing)

    def view(record: Any, seed: tf.Tensor) -> View:
        image, _ = labeled(record, seed)
        return image, _draw_order(tf.random.fold_in(seed, _MASKS), patches)

    return view


def make_evaluation_view(
    examples: Examples, preprocessing: Preprocessing, patches: int
) -> Callable[[Any], View]:
    """Returns a function from (number, record) to an image and an order.

    The image is float32 `(size, size, 3)`.
    """
    labeled = labeled_views.make_evaluation_view(examples, preprocessing)

    def view(numbered: Any) -> View:
        number, record = numbered
        image, _ = labeled(record)
        return image, validation_order(number, patches)

    return view


def validation_order(number: Any, patches: int) -> tf.Tensor:
    """Returns the order of a validation image's patches, int32 `(patches,)`.

    Args:
        number: Of the image, from 0.
        patches: Of an image.
    """
    key = epoch_key(_VALIDATION, 0)
    return _draw_order(tf.stack([key, tf.cast(number, tf.int64)]), patches)


def _draw_order(seed: tf.Tensor, patches: int) -> tf.Tensor:
    """Returns a random order of numbers, int32 `(patches,)`."""
    noise = tf.random.stateless_uniform([patches], seed)
    return tf.ensure_shape(tf.argsort(noise), (patches,))
