"""The dense layer that a classifier ends in, wherever it stands in the model."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from keras_convnext.folding._flattening import Call, flatten_with_calls
from keras_convnext.inference.features import NEAR_LAYER
from keras_convnext.inference.outputs import NUMBER_LAYER

from ..evaluation.unknown import Neighborhood

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


def with_constant_class(model: keras.Model, logit: float, command: str) -> keras.Model:
    """Returns a classifier with one class more, whose logit is the same for any image.

    Args:
        model: A functional or Sequential model that ends in a dense layer.
        logit: Of the new class, which comes last.
        command: What wants it, for messages.

    Returns:
        A new model, without models inside.

    Raises:
        ValueError: The model ends in something else, or cannot be built again; one
            line.
    """
    flat, _, last = find(model, command)
    if last.layer.bias is None:
        raise ValueError(
            f"{command} wants a classifier with a bias, and that of {model.name!r} has "
            "none."
        )
    config = flat.get_config()
    for layer in config["layers"]:
        if layer["config"].get("name") == last.layer.name:
            layer["config"]["units"] += 1
    try:
        made = type(flat).from_config(config)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{model.name!r} cannot be built with one class more: it holds something "
            "that is made for its own classes."
        ) from error
    for old, new in zip(flat.weights, made.weights, strict=True):
        if old is last.layer.kernel:
            zeros = ops.zeros((*old.shape[:-1], 1), old.dtype)
            new.assign(ops.concatenate([old, zeros], axis=-1))
        elif old is last.layer.bias:
            new.assign(ops.concatenate([old, ops.array([logit], old.dtype)]))
        else:
            new.assign(old)
    return made


def with_neighbor_class(
    model: keras.Model, near: Neighborhood, command: str
) -> keras.Model:
    """Returns a classifier with a last class for images unlike those of a bank.

    Its logit is the highest of the others plus slope * (threshold - cosine), with the
    cosine of the image's features to one of their nearest in the bank. The bank is the
    kernel of a dense layer.

    Args:
        model: A functional or Sequential model that ends in a dense layer and gives
            logits, or their softmax.
        near: The bank and its threshold.
        command: What wants it, for messages.

    Returns:
        A new model that gives probabilities, without models inside; it shares the
        layers up to the features.

    Raises:
        ValueError: The model ends in something else; one line.
    """
    flat, _, last = find(model, command)
    features = last.inputs[0]
    head = last.layer
    classes = keras.layers.Dense(
        head.units, use_bias=head.use_bias, dtype="float32", name=head.name
    )
    bank = keras.layers.Dense(
        len(near.bank), use_bias=False, dtype="float32", name=f"{NEAR_LAYER}_bank"
    )
    logits = classes(features)
    direction = keras.layers.UnitNormalization(dtype="float32", name=NEAR_LAYER)
    nearest, _ = ops.top_k(bank(direction(features)), near.neighbors)
    cosine = nearest[:, near.neighbors - 1 :]
    logit = ops.max(logits, axis=-1, keepdims=True)
    logit = logit + near.slope * (near.threshold - cosine)
    every = keras.layers.Concatenate(dtype="float32")([logits, logit])
    answers = keras.layers.Softmax(dtype="float32", name="predictions")(every)
    classes.set_weights([ops.convert_to_numpy(each) for each in head.weights])
    bank.set_weights([near.bank.T])
    return keras.Model(flat.inputs, answers, name=model.name)
