"""Where a model looks: Grad-CAM and the gradient of the input.

Here and not in the library, which knows no backend: both are gradients, and each
backend of Keras has its own way to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_convnext

_SIDE = 4


def explain(
    model: keras.Model,
    images: Any,
    classes: Sequence[int] | None = None,
    layer: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what in pictures speaks for a class, by both means at once.

    What is explained is the class's logit, the score before softmax. (A probability
    hardly moves where the model is sure.)

    Args:
        model: A classifier of this library, or one whose last layer is Dense.
        images: Pictures as the model takes them, `(batch, height, width, 3)` in
            0..255.
        classes: A class number for each picture; what the model answers unless given.
        layer: Name of the layer whose map is weighed; unless given the end of the
            last stage whose map has four positions a side, or of the last one.

    Returns:
        Grad-CAM's map, float32 `(batch, map_height, map_width)`, 0 or more; and the
        input's gradient, float32 like `images`, in logits a grey level.

    Raises:
        ValueError: The model ends in something else, or has no such map.

    Source: Grad-CAM, arXiv:1610.02391, equations 1 and 2; saliency,
    arXiv:1312.6034, section 3.
    """
    network, kernel, bias = _up_to_the_classifier(model, layer)
    pictures = tf.convert_to_tensor(images, tf.float32)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(pictures)
        maps, features = network(pictures, training=False)
        logits = tf.cast(features, tf.float32) @ kernel
        logits = logits if bias is None else logits + bias
        wanted = tf.argmax(logits, 1) if classes is None else tf.constant(classes)
        # Each picture's logit hangs on that picture alone: their sum has all slopes.
        score = tf.reduce_sum(tf.gather(logits, wanted, axis=1, batch_dims=1))
    map_slopes, image_slopes = tape.gradient(score, [maps, pictures])
    weights = tf.reduce_mean(map_slopes, axis=(1, 2), keepdims=True)
    cam = tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1))
    return cam.numpy(), image_slopes.numpy()


def _up_to_the_classifier(
    model: keras.Model, layer: str | None
) -> tuple[keras.Model, Any, Any]:
    """Returns a model of the map and the features, and what weighs the features."""
    last = model.layers[-1]
    if isinstance(last, keras.layers.Activation | keras.layers.Softmax):
        last = model.layers[-2]
    if not isinstance(last, keras.layers.Dense):
        raise ValueError(
            "explain wants a classifier whose last layer is Dense; that of "
            f"{model.name!r} is {type(last).__name__} ({last.name})."
        )
    if layer is not None:
        maps = model.get_layer(layer).output
    else:
        stages = list(keras_convnext.pyramid(model).pyramid_outputs.values())
        # The last map of a small picture is a single position.
        large = [maps for maps in stages if min(_sides(maps)) >= _SIDE]
        maps = (large or stages)[-1]
    network = keras.Model(model.input, [maps, last.input])
    kernel = keras.ops.convert_to_tensor(last.kernel)
    bias = None if last.bias is None else keras.ops.convert_to_tensor(last.bias)
    return network, tf.cast(kernel, tf.float32), bias


def _sides(maps: Any) -> tuple[int, ...]:
    """Returns height and width; those that are not fixed count as large enough."""
    return tuple(_SIDE if side is None else side for side in maps.shape[1:3])


def overlay(image: np.ndarray, cam: np.ndarray) -> np.ndarray:
    """Returns a picture with its Grad-CAM over it in warm colours.

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
    grey = image.mean(axis=-1, keepdims=True)
    share = 0.75 * strength
    return np.clip(
        (1 - share) * (0.4 * image + 0.6 * grey) + share * warm, 0, 255
    ).astype(np.uint8)


def strength(slopes: np.ndarray) -> np.ndarray:
    """Returns a picture of an input's gradient: the darker, the more a pixel counts.

    Args:
        slopes: `(height, width, 3)`.

    Returns:
        uint8 `(height, width, 3)`, grey. The hundredth part with the steepest slopes
        is black, so that a single pixel does not pale all others.
    """
    steepest = np.abs(slopes).max(axis=-1)
    limit = max(float(np.quantile(steepest, 0.99)), 1e-30)
    grey = 255 - 255 * np.minimum(steepest / limit, 1)
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)
