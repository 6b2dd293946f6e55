"""Decoded images in memory; TensorFlow is imported where batches are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

    from ..augment.random_crop import Window


def epoch_key(seed: int, epoch: int) -> int:
    """Returns 63 bits that stand for this epoch of this run."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    return int(state >> np.uint64(1))


class Numbered:
    """Records that are row numbers, for stores that any row can be had from."""

    labels: np.ndarray | None

    @property
    def count(self) -> int:
        """How many examples there are."""
        assert self.labels is not None  # whoever does not know them says how many
        return len(self.labels)

    def in_order(self) -> tf.data.Dataset:
        """Returns the row numbers from 0 on."""
        import tensorflow as tf

        return tf.data.Dataset.range(self.count)

    def shuffled(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Returns the row numbers in a random order."""
        import tensorflow as tf

        generator = np.random.default_rng(epoch_key(seed, epoch))
        return tf.data.Dataset.from_tensor_slices(generator.permutation(self.count))


@dataclass(frozen=True, eq=False)
class Pixels(Numbered):
    """Decoded images of one size, in memory.

    Attributes:
        images: uint8 `(count, height, width, 3)`.
        labels: int32 `(count,)`.
    """

    images: np.ndarray
    labels: np.ndarray

    @cached_property
    def _tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
        import tensorflow as tf

        # Kept over epochs, so never part of the function that asks first; and an
        # accelerator's memory is for the model.
        with tf.init_scope(), tf.device("cpu:0"):
            return tf.constant(self.images), tf.constant(self.labels)

    def image(
        self, record: tf.Tensor, window: Window | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the image and the label of a row."""
        from .decoding import cut_out

        images, labels = self._tensors
        return cut_out(images[record], window), labels[record]

    def names(self) -> tuple[str, ...]:
        """Returns nothing: pixels come from no file."""
        return ()
