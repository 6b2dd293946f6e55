"""The graph of a functional Keras model: which layer is called with what, in order.

Read from the model's configuration, Keras' public description of the graph:
`layer.input` and `layer.output` would not do, since a layer that is part of two models,
and a model inside of a model, answer with those of the first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Key:
    """A tensor: output number `index` of call number `call` of the layer `name`."""

    name: str
    call: int = 0
    index: int = 0


@dataclass(frozen=True)
class Step:
    """One call of a layer and what it is called with.

    Attributes:
        layer: The layer, or a Keras operation that is none.
        call: Which of the layer's calls in this model, from 0.
        args: Its positional arguments; tensors stand as `Key`.
        kwargs: Its named arguments, likewise.
    """

    layer: Any
    call: int
    args: Any
    kwargs: Any

    @property
    def inputs(self) -> list[Key]:
        """The tensors among the arguments."""
        return keys_in((self.args, self.kwargs))


@dataclass(frozen=True)
class Graph:
    """What a functional model does.

    Attributes:
        inputs: The structure of its inputs, with `Key`s for tensors.
        outputs: That of its outputs.
        steps: What is called, each after what it takes its inputs from.
        layers: All layers and operations of the model, input layers among them.
    """

    inputs: Any
    outputs: Any
    steps: tuple[Step, ...]
    layers: tuple[Any, ...]

    def layer(self, key: Key) -> Any:
        """Returns the layer that a tensor is made by."""
        return next(layer for layer in self.layers if layer.name == key.name)


@functools.cache
def _functional() -> Any:
    """Returns the class of functional models, which has no public name."""
    value = keras.Input((1,))
    return type(keras.Model(value, value))


def as_functional(model: Any) -> keras.Model | None:
    """Returns the plain functional model that computes the same with the same layers.

    Args:
        model: Anything that may be a model.

    Returns:
        `model` itself where it is one; a new one for a built `keras.Sequential` and for
        a functional model of a class of its own; `None` where Python code of the
        model's own, which no graph shows, may compute the outputs.
    """
    functional = _functional()
    if isinstance(model, keras.Sequential):
        own_code = type(model).call is not keras.Sequential.call
        if own_code or not (model.built and getattr(model, "inputs", None)):
            return None
        return functional(model.inputs[0], model.outputs[0], name=model.name)
    if not isinstance(model, functional) or type(model).call is not functional.call:
        return None
    if type(model) in (functional, keras.Model):
        return model
    return functional(model.input, model.output, name=model.name)


def read(model: keras.Model) -> Graph:
    """Returns a functional model's graph.

    Args:
        model: The model; models among its layers are steps like other layers.

    Raises:
        ValueError: The model is not functional, or has not been built.
    """
    plain = as_functional(model)
    if plain is None:
        raise ValueError(
            "This wants a functional Keras model that has been built; got "
            f"{type(model).__name__} {getattr(model, 'name', '')!r}."
        )
    config = plain.get_config()
    operations = {operation.name: operation for operation in plain.operations}
    waiting = [
        Step(
            operations[entry["name"]],
            call,
            _with_keys(node["args"]),
            _with_keys(node["kwargs"]),
        )
        for entry in config["layers"]
        for call, node in enumerate(entry["inbound_nodes"])
    ]
    inputs = _with_keys(config["input_layers"])
    outputs = map_keys(
        lambda key: _counted_from_0(key, operations[key.name]),
        _with_keys(config["output_layers"]),
    )
    known = {(key.name, key.call) for key in keys_in(inputs)}
    return Graph(
        inputs, outputs, tuple(_in_order(waiting, known)), tuple(plain.operations)
    )


def _counted_from_0(key: Key, layer: Any) -> Key:
    """Returns an output's key; there alone Keras counts calls of models from 1."""
    if isinstance(layer, _functional()):
        return Key(key.name, key.call - 1, key.index)
    return key


def _in_order(waiting: list[Step], known: set[tuple[str, int]]) -> list[Step]:
    """Returns the steps, each after those that make its inputs.

    Keras lists them by layer: the second call of a layer stands beside its first.
    """
    ordered: list[Step] = []
    while waiting:
        later = []
        for step in waiting:
            if all((key.name, key.call) in known for key in step.inputs):
                ordered.append(step)
                known.add((step.layer.name, step.call))
            else:
                later.append(step)
        if len(later) == len(waiting):
            raise ValueError(
                f"{later[0].layer.name!r} has inputs that no layer of the model makes."
            )
        waiting = later
    return ordered


def _with_keys(structure: Any) -> Any:
    """Returns a part of a configuration with `Key`s for the tensors in it."""
    if isinstance(structure, dict):
        if structure.get("class_name") == "__keras_tensor__":
            return _with_keys(structure["config"]["keras_history"])
        if "class_name" in structure:
            return keras.saving.deserialize_keras_object(structure)
        return {name: _with_keys(value) for name, value in structure.items()}
    if isinstance(structure, list | tuple):
        if [type(value) for value in structure] == [str, int, int]:
            return Key(*structure)
        return type(structure)(_with_keys(value) for value in structure)
    return structure


def map_keys(function: Callable[[Key], Any], structure: Any) -> Any:
    """Returns the structure with `function` applied to each `Key` in it.

    Args:
        function: From a key to what stands in its place.
        structure: Lists, tuples and dictionaries.
    """
    if isinstance(structure, Key):
        return function(structure)
    if isinstance(structure, dict):
        return {name: map_keys(function, part) for name, part in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure)(map_keys(function, part) for part in structure)
    return structure


def keys_in(structure: Any) -> list[Key]:
    """Returns the `Key`s in a structure, in order."""
    found: list[Key] = []
    map_keys(found.append, structure)
    return found
