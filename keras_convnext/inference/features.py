"""What a classifier sees of an image: its features, beside what it answers."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.folding._flattening import flatten_with_calls

# The layer by which `training.calibrate_main` compares features with training images.
NEAR_LAYER = "near_training_images"


def with_features(model: keras.Model) -> keras.Model:
    """Returns the model, flat, with two outputs: features and what it answers.

    Features that are an output of the model are kept by folding, which is free to
    change what is only passed on inside.

    Args:
        model: A functional model with one output `(batch, outputs)`.

    Returns:
        A model that gives features `(batch, channels)`, which are what its classifier
        (the last dense layer) sees, and the model's output. Where convolutions are the
        classifier, features are what follows them.

    Raises:
        ValueError: The model is not functional.
    """
    flat, calls = flatten_with_calls(model)
    made_by = {id(tensor): call for call in calls for tensor in call.outputs}
    for each in calls:
        if each.layer.name == NEAR_LAYER:
            return _answering_too(flat, each.inputs[0], model.name)
    features = tensor = flat.outputs[0]
    while (call := made_by.get(id(tensor))) is not None and len(call.inputs) == 1:
        (tensor,) = call.inputs
        if len(tensor.shape) != 2:
            break
        features = tensor
        if isinstance(call.layer, keras.layers.Dense):
            break
    return _answering_too(flat, features, model.name)


def _answering_too(flat: keras.Model, features: Any, name: str) -> keras.Model:
    return keras.Model(flat.inputs, [features, flat.outputs[0]], name=name)
