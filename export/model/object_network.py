"""The forward pass of a detector: images in 0..255 to the objects in them."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_convnext.whole_images import with_open_size

from .loaded_model import Source
from .open_network import OpenNetwork


def open_detector(source: Source) -> keras.Model:
    """Returns a detector that takes images of any size.

    Raises:
        ValueError: It is made for one size alone, by more than its input.
    """
    return with_open_size(source.model)


class ObjectNetwork(OpenNetwork):
    """A detector from images in 0..255 to the dictionary of `keras_convnext.MaskRCNN`.

    Args:
        source: What is exported.
        inner: What `open_detector` makes of its model, or what folding makes of that.

    Attributes:
        outputs: For each output its shape and type, of one image.
    """

    def __init__(self, source: Source, inner: keras.Model) -> None:
        super().__init__(source, inner)
        self.outputs = {
            name: tf.TensorSpec(tensor.shape[1:], tensor.dtype)
            for name, tensor in inner.output.items()
        }

    def answers(self, tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the objects of images in 0..255, boxes in the images' own pixels."""
        return dict(self.ask(tensors))

    def find(
        self, view: tf.Tensor, height: tf.Tensor, width: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns the objects of one image, from what is seen of it.

        Args:
            view: float32 `(h, w, 3)` in 0..255: the resized image.
            height: Of the image, in pixels.
            width: Of the image, in pixels.

        Returns:
            The outputs without the axis of the batch; boxes are in pixels of the image.
        """
        found = {
            name: values[0] for name, values in self.answers(view[tf.newaxis]).items()
        }
        own, seen = tf.stack([height, width]), tf.shape(view)[:2]
        # A side was rounded after it was resized: each has its own factor.
        factors = tf.cast(own, tf.float32) / tf.cast(seen, tf.float32)
        return {**found, "boxes": found["boxes"] * tf.tile(factors, [2])}

    def nothing(self) -> dict[str, tf.Tensor]:
        """Returns the outputs for one image without an object."""
        none = {
            name: tf.zeros(spec.shape, spec.dtype)
            for name, spec in self.outputs.items()
        }
        return {**none, "classes": none["classes"] - 1}
