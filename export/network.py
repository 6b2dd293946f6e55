"""The forward pass that every exported file holds, as one TensorFlow function."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_convnext.preprocessing import Preprocessing

NORMALIZATION_NAME = "input_normalization"


def takes_raw_pictures(model: keras.Model) -> bool:
    """Returns whether the model normalises pictures in 0..255 by itself."""
    return any(isinstance(layer, keras.layers.Normalization) for layer in model.layers)


def classifier_of(model: keras.Model) -> keras.layers.Layer:
    """Returns the layer that turns features into classes: the last Dense."""
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    return dense[-1] if dense else model.layers[-1]


def _to_probabilities(model: keras.Model, outputs: Any) -> Any:
    """Returns the outputs as probabilities; logits go through a softmax."""
    activation = getattr(model.layers[-1], "activation", None)
    if activation is keras.activations.linear:
        return tf.nn.softmax(outputs)
    return outputs


class Network(tf.Module):
    """A classifier from pictures in 0..255 to probabilities and features.

    Args:
        model: The Keras model.
        preprocessing: Applied before a model that does not normalise by itself.

    Attributes:
        size_px: Side of the pictures.
        classes: Number of classes.
    """

    def __init__(self, model: keras.Model, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.size_px = preprocessing.size_px
        self.classes = model.output_shape[-1]
        inner = keras.Model(model.inputs, [classifier_of(model).input, model.output])
        # Held for saving; the Keras objects themselves stay behind.
        self.stored = [variable.value for variable in inner.variables]
        raw = takes_raw_pictures(model)
        mean, variance = preprocessing.normalization(3)

        def forward(tensors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            if not raw:
                tensors = (tensors - mean) / tf.sqrt(tf.constant(variance))
            features, outputs = inner(tensors, training=False)
            probabilities = _to_probabilities(model, outputs)
            return tf.cast(features, tf.float32), tf.cast(probabilities, tf.float32)

        self.forward = tf.function(forward, input_signature=[self.spec(None)])

    def spec(self, batch: int | None) -> tf.TensorSpec:
        """Returns the specification of the input.

        Args:
            batch: Number of pictures; `None` for any.
        """
        shape = (batch, self.size_px, self.size_px, 3)
        return tf.TensorSpec(shape, tf.float32, name="tensors")

    def probabilities(self, tensors: tf.Tensor) -> tf.Tensor:
        """Returns `(batch, classes)` for float32 `(batch, size_px, size_px, 3)`."""
        return self.forward(tensors)[1]

    def features(self, tensors: tf.Tensor) -> tf.Tensor:
        """Returns `(batch, channels)`: what the classifier itself sees."""
        return self.forward(tensors)[0]
