"""The forward pass that every exported file holds, as one TensorFlow function."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_convnext.models import layers_by_name
from keras_convnext.preprocessing import Preprocessing


def takes_raw_pictures(model: keras.Model) -> bool:
    """Returns whether the model normalises pictures in 0..255 by itself."""
    layers = layers_by_name(model).values()
    scaling = keras.layers.Normalization | keras.layers.Rescaling
    return any(isinstance(layer, scaling) for layer in layers)


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


def with_features(model: keras.Model) -> keras.Model:
    """Returns the model with two outputs: what its classifier sees, and the classes.

    Features that are an output of the model are kept by folding, which is free to
    change what is only passed on inside.
    """
    outputs = [classifier_of(model).input, model.output]
    return keras.Model(model.inputs, outputs, name=model.name)


class Network(tf.Module):
    """A classifier from pictures in 0..255 to probabilities and features.

    Args:
        model: The Keras model.
        preprocessing: Of the pictures; also applied before a model that does not
            normalise by itself.
        inner: What `with_features` makes of the model, or what folding makes of that.

    Attributes:
        size_px: Side of the pictures.
        classes: Number of classes.
        forward: From float32 `(batch, size_px, size_px, 3)` to features and
            probabilities, a `tf.function`.
        of_any_size: The same as plain Python, for pictures of any height and width.
    """

    def __init__(
        self,
        model: keras.Model,
        preprocessing: Preprocessing,
        inner: keras.Model | None = None,
    ) -> None:
        super().__init__()
        self.size_px = preprocessing.size_px
        self.classes = model.output_shape[-1]
        raw = takes_raw_pictures(model)
        if inner is None:
            inner = with_features(model)
        # Held for saving; the Keras objects themselves stay behind.
        self.stored = [variable.value for variable in inner.variables]
        mean, variance = preprocessing.normalization(3)

        def forward(tensors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            if not raw:
                tensors = (tensors - mean) / tf.sqrt(tf.constant(variance))
            features, outputs = inner(tensors, training=False)
            probabilities = _to_probabilities(model, outputs)
            return tf.cast(features, tf.float32), tf.cast(probabilities, tf.float32)

        self.of_any_size = forward
        self.forward = tf.function(forward, input_signature=[self.spec(None)])

    def spec(self, batch: int | None, any_size: bool = False) -> tf.TensorSpec:
        """Returns the specification of the input.

        Args:
            batch: Number of pictures; `None` for any.
            any_size: Whether height and width are left open.
        """
        side = None if any_size else self.size_px
        shape = (batch, side, side, 3)
        return tf.TensorSpec(shape, tf.float32, name="tensors")

    def probabilities(self, tensors: tf.Tensor) -> tf.Tensor:
        """Returns `(batch, classes)` for float32 `(batch, size_px, size_px, 3)`."""
        return self.forward(tensors)[1]

    def features(self, tensors: tf.Tensor) -> tf.Tensor:
        """Returns `(batch, channels)`: what the classifier itself sees."""
        return self.forward(tensors)[0]
