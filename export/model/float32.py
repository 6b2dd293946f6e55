"""A model of another precision as one that computes in float32, as its exports do."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.folding._flattening import flatten
from keras_convnext.nested_layers import layers_by_name

# Keras' dtypes and dtype policies other than float32's.
_OTHERS = ("bfloat16", "float16", "float64", "mixed_bfloat16", "mixed_float16")


def other_precisions(model: keras.Model) -> list[str]:
    """Returns the policies of a model's layers that compute in another type.

    Args:
        model: Any Keras model.
    """
    policies = (layer.dtype_policy for layer in layers_by_name(model).values())
    return sorted({policy.name for policy in policies if policy.name in _OTHERS})


def quantized_layers(model: keras.Model) -> list[str]:
    """Returns the names of layers whose weights Keras has quantized.

    Args:
        model: Any Keras model.
    """
    return [
        name
        for name, layer in layers_by_name(model).items()
        if getattr(layer.dtype_policy, "quantization_mode", None)
    ]


def in_float32(model: keras.Model) -> keras.Model:
    """Returns the model with the same weights, computing in float32.

    Args:
        model: A functional model, not quantized.

    Returns:
        `model` itself where it computes in float32 already.

    Raises:
        ValueError: It cannot be built from its configuration.
    """
    if not other_precisions(model):
        return model
    flat = flatten(model)
    config = _in_float32(flat.get_config())
    try:
        made = type(flat).from_config(config)
        made.set_weights(flat.get_weights())
    except (ValueError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0][:300]
        raise ValueError(f"it cannot be built in float32: {reason}") from error
    return made


def _in_float32(config: Any) -> Any:
    """Returns a part of a configuration with float32 for other types."""
    if isinstance(config, dict):
        return {name: _in_float32(part) for name, part in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_float32(part) for part in config)
    return "float32" if isinstance(config, str) and config in _OTHERS else config
