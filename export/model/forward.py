"""The forward pass that every exported file holds, as one TensorFlow function."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_convnext.inference.features import with_features
from keras_convnext.inference.inputs import normalizes_images
from keras_convnext.inference.outputs import OutputMeaning, find_output_meaning
from keras_convnext.preprocessing import Preprocessing

_ACTIVATIONS = {"softmax": tf.nn.softmax, "sigmoid": tf.sigmoid, None: tf.identity}
# Of a TFLite file's output, by the kind of what it is.
_OUTPUT_NAMES = {"features": "features", "number": "number"}


class Network(tf.Module):
    """A model from images in 0..255 to probabilities and features.

    Args:
        model: The Keras model.
        preprocessing: Of the images; also applied before a model that does not
            normalize by itself.
        inner: What `with_features` makes of the model, or what folding makes of that.
        meaning: What the model's outputs are; found in its graph unless given.
        normalizes: Whether the model normalizes by itself; likewise.
        flip: Whether answers are the mean of those to an image and to its mirror image;
            features are of the image alone.

    Attributes:
        size_px: Side of the images.
        forward: From float32 `(batch, size_px, size_px, 3)` to features and
            probabilities, a `tf.function`. Of a model whose outputs are features,
            both are those.
        answers: The outputs of a TFLite file by name, for images of any height and
            width, as plain Python.
    """

    def __init__(
        self,
        model: keras.Model,
        preprocessing: Preprocessing,
        inner: keras.Model | None = None,
        *,
        meaning: OutputMeaning | None = None,
        normalizes: bool | None = None,
        flip: bool = False,
    ) -> None:
        super().__init__()
        self.size_px = preprocessing.size_px
        if normalizes is None:
            normalizes = bool(normalizes_images(model))
        self.meaning = meaning or find_output_meaning(model)
        is_features = self.meaning.kind == "features"
        output_name = _OUTPUT_NAMES.get(self.meaning.kind, "probabilities")
        activation = _ACTIVATIONS[self.meaning.activation]
        if inner is None:
            inner = with_features(model)
        # Held for saving; the Keras objects themselves stay behind.
        self.stored = [variable.value for variable in inner.variables]
        mean, variance = preprocessing.normalization(3)

        def forward(tensors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            if not normalizes:
                tensors = (tensors - mean) / tf.sqrt(tf.constant(variance))
            if flip:
                # One pass over both, so that a file has its weights once.
                tensors = tf.concat([tensors, tf.reverse(tensors, [2])], axis=0)
            features, outputs = inner(tensors, training=False)
            answers = activation(tf.cast(outputs, tf.float32))
            if flip:
                features, _ = tf.split(features, 2)
                straight, mirrored = tf.split(answers, 2)
                answers = (straight + mirrored) / 2
            features = answers if is_features else features
            return tf.cast(features, tf.float32), answers

        self.answers = lambda tensors: {output_name: forward(tensors)[1]}
        self.forward = tf.function(forward, input_signature=[self.spec(None)])

    def spec(self, batch: int | None, any_size: bool = False) -> tf.TensorSpec:
        """Returns the specification of the input.

        Args:
            batch: Number of images; `None` for any.
            any_size: Whether height and width are left open.
        """
        side = None if any_size else self.size_px
        shape = (batch, side, side, 3)
        return tf.TensorSpec(shape, tf.float32, name="tensors")

    def probabilities(self, tensors: tf.Tensor) -> tf.Tensor:
        """Returns `(batch, classes)` for float32 `(batch, size_px, size_px, 3)`."""
        return self.forward(tensors)[1]

    def numbers(self, tensors: tf.Tensor) -> tf.Tensor:
        """Returns `(batch,)`: what a model with one output answers."""
        return self.forward(tensors)[1][:, 0]

    def features(self, tensors: tf.Tensor) -> tf.Tensor:
        """Returns `(batch, channels)`: what the classifier itself sees."""
        return self.forward(tensors)[0]
