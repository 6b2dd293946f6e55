"""The dense layer that a classifier ends in, wherever it stands in the model."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_convnext.folding._flattening import Call, flatten_with_calls
from keras_convnext.inference.outputs import NUMBER_LAYER

# What may stand between the classifier and the model's output, by class name.
_AFTER_CLASSIFIER = {
    "Activation",
    "Cast",
    "Identity",
    "LogSoftmax",
    "Reshape",
    "Sigmoid",
    "Softmax",
}
_ACTIVATIONS = ("linear", "log_softmax", "sigmoid", "softmax")


def _is_after_classifier(layer: keras.layers.Layer) -> bool:
    # A number is put into its own unit by the last layer of its model.
    return type(layer).__name__ in _AFTER_CLASSIFIER or layer.name == NUMBER_LAYER


def find(model: keras.Model, command: str) -> tuple[keras.Model, Sequence[Call], Call]:
    """Returns the model without models inside, its calls, and the classifier's.

    Args:
        model: A functional or Sequential model; models may stand inside of it.
        command: What wants it, for messages.

    Returns:
        The last call's layer is the `keras.layers.Dense` of the model itself.

    Raises:
        ValueError: The model ends in something else; one line.
    """
    flat, calls = flatten_with_calls(model)
    if len(flat.outputs) > 1:
        raise ValueError(
            f"{model.name!r} has {len(flat.outputs)} outputs; {command} wants "
            "the classes alone."
        )
    makers = {id(tensor): call for call in calls for tensor in call.outputs}
    last = makers.get(id(flat.outputs[0]))
    while last is not None and _is_after_classifier(last.layer):
        last = makers.get(id(last.inputs[0]))
    kind = None if last is None else type(last.layer).__name__
    if last is None or not isinstance(last.layer, keras.layers.Dense):
        raise ValueError(
            f"{command} wants a classifier whose last layer is Dense; that of "
            f"{model.name!r} is {kind}."
        )
    if last.layer.activation.__name__ not in _ACTIVATIONS:
        raise ValueError(
            f"{command} wants a classifier whose last Dense layer gives logits; that "
            f"of {model.name!r} ends in {last.layer.activation.__name__}."
        )
    if getattr(last.layer, "quantization_mode", None):
        raise ValueError(
            f"The classifier of {model.name!r} is quantized, and {command} needs it in "
            "floating point: take the model that it was made of."
        )
    return flat, calls, last
