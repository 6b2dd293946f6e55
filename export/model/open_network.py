"""What the forward passes of models share that take images of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from .loaded_model import Source


class OpenNetwork(tf.Module):
    """A model from images in 0..255, of any size, to what it answers.

    Args:
        source: What is exported.
        inner: Its model with an input of any size, or what folding makes of that.

    Attributes:
        size_px: Side of the images of a TFLite file.
        meaning: What the model's outputs are.
    """

    def __init__(self, source: Source, inner: keras.Model) -> None:
        super().__init__()
        self.size_px = source.preprocessing.size_px
        self.meaning = source.meaning
        # Held for saving; the Keras objects themselves stay behind.
        self.stored = [variable.value for variable in inner.variables]
        self._inner = (inner,)
        self._normalize = _normalization_of(source)

    def spec(self, batch: int | None, any_size: bool = False) -> tf.TensorSpec:
        """Returns the specification of a TFLite file's input.

        Args:
            batch: Number of images; `None` for any.
            any_size: Whether height and width are left open.
        """
        side = None if any_size else self.size_px
        return tf.TensorSpec((batch, side, side, 3), tf.float32, name="tensors")

    def ask(self, tensors: tf.Tensor) -> Any:
        """Returns the model's own outputs for images in 0..255."""
        return self._inner[0](self._normalize(tensors), training=False)


def _normalization_of(source: Source) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns what is done to images in 0..255 before a model sees them."""
    if source.normalizes:
        return lambda tensors: tensors
    mean, variance = source.preprocessing.normalization(3)
    deviation = tf.sqrt(tf.constant(variance))
    return lambda tensors: (tensors - mean) / deviation
