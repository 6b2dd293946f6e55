"""Models whose outputs are of places in an image: of its pixels, or of objects."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.detection.box_outputs import OUTPUTS, Detections
from keras_convnext.inference.graph import is_graph, outputs_of, walk

_SIDES = ("inputs", "outputs")
# For models of any size; no sides that a network would give to anything else.
_ANY_SIZE = (64, 96)


def labels_pixels(model: keras.Model) -> bool:
    """Returns True if a model gives classes of pixels: a map of its images' size.

    Args:
        model: Any Keras model.

    Example:
        >>> labels_pixels(keras_convnext.UPerNet("convnext_atto", 2))
        True
    """
    inputs, outputs = (getattr(model, name, None) or [] for name in _SIDES)
    if [len(each.shape) for each in (*inputs, *outputs)] != [4, 4]:
        return False
    size = tuple(inputs[0].shape[1:3])
    if None not in size:
        return tuple(outputs[0].shape[1:3]) == size
    shape = model.compute_output_shape((1, *_ANY_SIZE, inputs[0].shape[-1]))
    return tuple(shape[1:3]) == _ANY_SIZE


def finds_objects(model: keras.Model) -> bool:
    """Returns True if a model is a detector: its outputs have a detector's names.

    Args:
        model: Any Keras model.

    Example:
        >>> finds_objects(keras_convnext.MaskRCNN("convnext_atto", 2))
        True
    """
    outputs = getattr(model, "output", None) if is_graph(model) else None
    return isinstance(outputs, dict) and set(OUTPUTS) <= set(outputs)


def count_labels(model: Any) -> int | None:
    """Returns for how many classes a model has outputs; None where it does not show.

    Args:
        model: Any Keras model.
    """
    if not finds_objects(model):
        return model.outputs[0].shape[-1]  # type: ignore[no-any-return]
    for origin in walk(outputs_of(model)[0]):
        if isinstance(origin.operation, Detections):
            return origin.operation.classes_of(origin.inputs[1].symbol)
    return None
