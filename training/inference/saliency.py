"""Where a model looks: Grad-CAM and the gradient of the input.

Here and not in the library, which knows no backend: both are gradients, and each
backend of Keras has its own way to them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_convnext.folding._flattening import Call

from . import classifier_head

_SIDE = 4
Explain = Callable[[Any, Sequence[int] | None], tuple[np.ndarray, np.ndarray]]


def explain(
    model: keras.Model,
    images: Any,
    classes: Sequence[int] | None = None,
    layer: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the Grad-CAM maps and input gradients of images for a class.

    What is explained is the class's logit, the score before softmax. (A probability
    hardly moves where the model is sure.) A single output speaks for the second of two
    classes, and its opposite for the first.

    Args:
        model: A functional or Sequential model that ends in a Dense layer; models may
            stand inside of it.
        images: Images as the model takes them, `(batch, height, width, 3)` in
            0..255.
        classes: A class number for each image; what the model answers unless given.
        layer: Name of the layer whose map is weighed; unless given the end of the
            last stage whose map has four positions a side, or of the last one.

    Returns:
        Grad-CAM's map, float32 `(batch, map_height, map_width)`, 0 or more; and the
        input's gradient, float32 like `images`, in logits a gray level.

    Raises:
        ValueError: The model ends in something else, or has no such map.

    Source: Grad-CAM, arXiv:1610.02391, equations 1 and 2; saliency,
    arXiv:1312.6034, section 3.
    """
    return make_explain(model, layer)(images, classes)


def make_explain(model: keras.Model, layer: str | None = None) -> Explain:
    """Returns `explain` of one model, for many images.

    Args:
        model: As for `explain`.
        layer: As for `explain`.

    Raises:
        ValueError: As `explain`.
    """
    network, classifier = _up_to_the_classifier(model, layer)
    kernel = tf.cast(keras.ops.convert_to_tensor(classifier.kernel), tf.float32)
    bias = 0.0
    if classifier.bias is not None:
        bias = tf.cast(keras.ops.convert_to_tensor(classifier.bias), tf.float32)

    def explain_images(
        given: Any, classes: Sequence[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        images = tf.convert_to_tensor(given, tf.float32)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            maps, features = network(images, training=False)
            logits = tf.cast(features, tf.float32) @ kernel + bias
            if logits.shape[-1] == 1:
                logits = tf.concat([-logits, logits], axis=1)
            wanted = tf.argmax(logits, 1) if classes is None else tf.constant(classes)
            # Each image's logit hangs on that image alone: their sum has all
            # slopes.
            score = tf.reduce_sum(tf.gather(logits, wanted, axis=1, batch_dims=1))
        map_slopes, image_slopes = tape.gradient(score, [maps, images])
        if map_slopes is None:
            raise ValueError(f"The classes of {model.name!r} do not come of that map.")
        weights = tf.reduce_mean(map_slopes, axis=(1, 2), keepdims=True)
        cam = tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1))
        return tf.cast(cam, tf.float32).numpy(), image_slopes.numpy()

    return explain_images


def _up_to_the_classifier(
    model: keras.Model, layer: str | None
) -> tuple[keras.Model, keras.layers.Dense]:
    """Returns a model of the map and the features, and what weighs the features."""
    flat, calls, last = classifier_head.find(model, "explain")
    if not keras.backend.is_float_dtype(flat.inputs[0].dtype):
        raise ValueError(
            f"{model.name!r} takes {flat.inputs[0].dtype} images, which have no "
            "gradients; explain wants one on keras.Input(shape), which is float32."
        )
    maps = _choose_map(model.name, calls, layer)
    network = keras.Model(flat.inputs, [maps, last.inputs[0]])
    return network, last.layer


def _choose_map(name: str, calls: Sequence[Call], layer: str | None) -> Any:
    """Returns the tensor whose positions are weighed."""
    if layer is not None:
        found = [call.outputs[0] for call in calls if call.layer.name == layer]
        if not found:
            raise ValueError(f"{name!r} has no layer called {layer!r}.")
        return found[-1]
    is_inside = itertools.accumulate(
        (bool(getattr(call.layer, "weights", None)) for call in calls), max
    )
    maps = [
        (type(call.layer).__name__, call.outputs[0])
        for call in itertools.compress(calls, is_inside)
        if len(call.outputs[0].shape) == 4
    ]
    # Stages end in a residual sum; networks without any are taken as they come.
    ends = [tensor for kind, tensor in maps if kind == "Add"]
    ends = ends or [tensor for _, tensor in maps]
    if not ends:
        raise ValueError(
            f"{name!r} shows no maps (batch, height, width, channels) to explain: its "
            "layers are inside of one that cannot be looked into."
        )
    # The last map of a small image is a single position.
    large = [tensor for tensor in ends if min(_sides(tensor)) >= _SIDE]
    return (large or ends)[-1]


def _sides(maps: Any) -> tuple[int, ...]:
    """Returns height and width; those that are not fixed count as large enough."""
    return tuple(_SIDE if side is None else side for side in maps.shape[1:3])


def overlay(image: np.ndarray, cam: np.ndarray) -> np.ndarray:
    """Returns an image with its Grad-CAM over it in warm colors.

    Args:
        image: `(height, width, 3)` in 0..255.
        cam: `(map_height, map_width)`, 0 or more.

    Returns:
        uint8 `(height, width, 3)`.
    """
    from matplotlib import colormaps

    height, width = image.shape[:2]
    grown = tf.image.resize(cam[..., None], (height, width), "bilinear").numpy()
    strength = grown / max(float(grown.max()), 1e-12)
    warm = colormaps["inferno"](strength[..., 0])[..., :3] * 255
    gray = image.mean(axis=-1, keepdims=True)
    share = 0.75 * strength
    return np.clip(
        (1 - share) * (0.4 * image + 0.6 * gray) + share * warm, 0, 255
    ).astype(np.uint8)


def strength(slopes: np.ndarray) -> np.ndarray:
    """Returns an image of an input's gradient: the darker, the more a pixel counts.

    Args:
        slopes: `(height, width, 3)`.

    Returns:
        uint8 `(height, width, 3)`, gray. The hundredth part with the steepest slopes
        is black, so that a single pixel does not pale all others.
    """
    steepest = np.abs(slopes).max(axis=-1)
    limit = max(float(np.quantile(steepest, 0.99)), 1e-30)
    gray = 255 - 255 * np.minimum(steepest / limit, 1)
    return np.repeat(gray[..., None], 3, axis=-1).astype(np.uint8)
