"""Finds the ConvNeXt in a model, by its layers' names."""

from __future__ import annotations

import re
from collections.abc import Mapping

import keras
import numpy as np

from keras_convnext.merged_weights import (
    check_floats,
    inner_layers,
    merged_values,
    own_variables,
)
from keras_convnext.nested_layers import layers_by_name

_LAYERS = re.compile(
    r"stem_(conv|norm)\d*|head_(norm|hidden|dense)|stage\d+_downsample_(norm|conv)"
    r"|stage\d+_block\d+_(dwconv|norm|expand|grn|project|layer_scale)"
    r"|pyramid_norm_p[2-5]|(decode|auxiliary)_(\w+_)?(conv|norm|logits)"
    r"|fpn_(lateral|output)\d|rpn_(conv|logits|deltas)"
    r"|box\d?_((conv|norm|fc)\d|logits|deltas)|mask\d?_(conv\d|upsample|logits)"
)


def convnext_layers(model: keras.Model, wanted: str) -> dict[str, keras.layers.Layer]:
    """Returns the layers of a model's ConvNeXt that have weights, by name.

    Layers that are not a ConvNeXt's (a head of your own) are left out.

    Args:
        model: A model of this library, or one that holds one.
        wanted: What is to be done, for messages.

    Raises:
        ValueError: It has no such layers, those of two ConvNeXts, or quantized ones.
    """
    check_floats(model, wanted)
    auxiliary = getattr(model, "auxiliary", None)
    if auxiliary is not None:
        model = keras.Model(model.inputs, [*model.outputs, auxiliary], name=model.name)
    found: dict[str, keras.layers.Layer] = {}
    for layer in inner_layers(model):
        if not _LAYERS.fullmatch(layer.name) or not layer.weights:
            continue
        if layer.name in found:
            raise ValueError(
                f"The model {model.name!r} holds several ConvNeXts, each with a layer "
                f"called {layer.name!r}: {wanted} takes one of them, "
                "model.get_layer(...)."
            )
        found[layer.name] = layer
    if not found:
        raise ValueError(
            f"The model {model.name!r} has no layers that are named as this library's "
            f"ConvNeXts name them; {wanted} is for those only."
        )
    return found


def variables_of(layers: Mapping[str, keras.layers.Layer]) -> dict[str, keras.Variable]:
    """Returns the variables that a file could have, by "<layer>/<variable>"."""
    return {
        f"{name}/{variable.name}": variable
        for name, layer in layers.items()
        for variable in own_variables(layer)
    }


def check_lora(layers: Mapping[str, keras.layers.Layer]) -> None:
    """Refuses kernels that LoRA has added to: it would add to other ones.

    Raises:
        ValueError: LoRA has learnt something.
    """
    for name, layer in layers.items():
        if not getattr(layer, "lora_enabled", False):
            continue
        pairs = zip(own_variables(layer), merged_values(layer), strict=True)
        for variable, merged in pairs:
            if not np.array_equal(keras.ops.convert_to_numpy(variable), merged):
                raise ValueError(
                    f"LoRA has learnt something for {name}, which would be added to "
                    "the new weights too: load weights first, then enable LoRA."
                )


def is_norm_first(model: keras.Model) -> bool | None:
    """Whether the last norm stands before the pooling; None if there is no pooling."""
    layers = list(layers_by_name(model))
    if "head_norm" not in layers or "head_pool" not in layers:
        return None
    return layers.index("head_norm") < layers.index("head_pool")
