"""Weights as a layer computes with them: what LoRA has learnt is in them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

_LORA = "lora_"


def own_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns a layer's variables without the two that LoRA puts beside a kernel."""
    return [each for each in layer.weights if not each.name.startswith(_LORA)]


def merged_values(layer: keras.layers.Layer) -> list[np.ndarray]:
    """Returns the values of `own_variables`, each kernel with what LoRA adds to it.

    Those that LoRA has added to come in float64, all others in their own dtype.

    Args:
        layer: Any built layer; of layers inside of it the same holds.
    """
    added = {
        id(variable): addition
        for each in inner_layers(layer)
        for variable, addition in _additions(each)
    }
    values = []
    for variable in own_variables(layer):
        value = np.asarray(keras.ops.convert_to_numpy(variable))
        if id(variable) in added:
            value = value.astype(np.float64) + added[id(variable)]
        values.append(value)
    return values


def inner_layers(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Yields a layer and all inside of it, each once: a model's, a wrapper's, parts.

    The layers of a model come in its order, before those inside of them.
    """
    seen: set[int] = set()
    waiting: deque[Any] = deque([layer])
    while waiting:
        item = waiting.popleft()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, list | tuple):
            waiting.extend(item)
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, keras.layers.Layer):
            yield item
            waiting.extend(getattr(item, "layers", []))
            waiting.extend(vars(item).values())


def check_floats(model: keras.Model, wanted: str) -> None:
    """Refuses a model whose kernels Keras has put into integers or 8-bit floats.

    Args:
        model: Any Keras model.
        wanted: What is to be done, for the message.

    Raises:
        ValueError: One of its layers is quantized.
    """
    for layer in inner_layers(model):
        mode = getattr(layer, "quantization_mode", None)
        if mode is not None:
            raise ValueError(
                f"{wanted} needs the weights as they were before `quantize`: the layer "
                f"{layer.name!r} of {model.name!r} is quantized ({mode}). Do it with "
                "the model that was quantized, before quantizing it."
            )


def _additions(
    layer: keras.layers.Layer,
) -> Iterator[tuple[keras.Variable, np.ndarray]]:
    """Yields the variables of one layer that LoRA adds to, and what it adds."""
    if not getattr(layer, "lora_enabled", False):
        return
    variables = {variable.name: variable for variable in layer.weights}
    alpha = getattr(layer, "lora_alpha", None) or layer.lora_rank
    for name, variable in variables.items():
        if f"{_LORA}{name}_a" in variables:
            down, up = (
                np.asarray(keras.ops.convert_to_numpy(variables[f"{_LORA}{name}_{of}"]))
                for of in "ab"
            )
            added = down.astype(np.float64) @ up.astype(np.float64)
            yield variable, added * (alpha / layer.lora_rank)
