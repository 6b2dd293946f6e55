"""The forward pass of a segmentation model: images in 0..255 to label maps."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_convnext.segmentation.inference import label_dtype, logits_model
from keras_convnext.whole_images import with_open_size

from .loaded_model import Source
from .open_network import OpenNetwork

# Logits that are resized at a time: 64 MB, however large the image.
_ELEMENTS = 2**24


def pixel_logits(source: Source) -> keras.Model:
    """Returns a segmentation model that takes any size and gives logits.

    Raises:
        ValueError: It is made for one size alone, by more than its input.
    """
    model = with_open_size(source.model)
    return logits_model(model) if source.meaning.applied else model


class LabelMapNetwork(OpenNetwork):
    """A segmentation model from images in 0..255 to the class of each pixel.

    Args:
        source: What is exported.
        inner: What `pixel_logits` makes of its model, or what folding makes of that.
    """

    def __init__(self, source: Source, inner: keras.Model) -> None:
        super().__init__(source, inner)
        self.classes = inner.outputs[0].shape[-1]
        self.dtype = tf.dtypes.as_dtype(label_dtype(self.classes))

    def logits(self, tensors: tf.Tensor) -> tf.Tensor:
        """Returns float32 `(batch, height, width, classes)` for images in 0..255."""
        return tf.cast(self.ask(tensors), tf.float32)

    def answers(self, tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns as `classes` the class of each pixel `(batch, height, width)`."""
        best = tf.argmax(self.logits(tensors), axis=-1, output_type=tf.int32)
        return {"classes": tf.cast(best, self.dtype)}

    def label_map(
        self, view: tf.Tensor, height: tf.Tensor, width: tf.Tensor
    ) -> tf.Tensor:
        """Returns the class of each pixel of an image, from what is seen of it.

        Args:
            view: float32 `(h, w, 3)` in 0..255: the resized image.
            height: Of the image, in pixels.
            width: Of the image, in pixels.

        Returns:
            `(height, width)`.
        """
        logits = self.logits(view[tf.newaxis])[0]
        rows = tf.shape(logits)[0]
        at_once = tf.maximum(_ELEMENTS // (width * self.classes), 1)
        ratio = tf.cast(rows, tf.float64) / tf.cast(height, tf.float64)

        def label_rows(first: tf.Tensor) -> tf.Tensor:
            number = tf.cast(first + tf.range(at_once), tf.float64)
            place = (number + 0.5) * ratio - 0.5
            above = tf.clip_by_value(tf.cast(tf.floor(place), tf.int32), 0, rows - 1)
            below = tf.minimum(tf.cast(tf.floor(place), tf.int32) + 1, rows - 1)
            weight = tf.cast(place - tf.floor(place), tf.float32)[:, None, None]
            start, end = above[0], below[-1] + 1
            wide = tf.image.resize(logits[start:end], (end - start, width))
            upper = tf.gather(wide, above - start)
            mixed = upper + (tf.gather(wide, below - start) - upper) * weight
            return tf.cast(tf.argmax(mixed, axis=-1), self.dtype)

        parts = tf.map_fn(
            label_rows,
            tf.range(0, height, at_once),
            fn_output_signature=tf.TensorSpec((None, None), self.dtype),
            parallel_iterations=1,
        )
        # The last part may go on below the image.
        return tf.reshape(parts, (-1, width))[:height]
