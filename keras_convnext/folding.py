"""A trained model made into an equal, faster one for deployment.

What a model does to a tensor between two matrix products is linear for the most part
and can be done to the matrices beforehand, once, in float64:

- the input's normalisation goes into the stem's kernel and bias,
- a norm's scale, offset and mean subtraction go into the dense layer or convolution
  behind it, which leaves the division by the deviation (`UnitScale`),
- layer scale goes into the projection, the offset of Global Response Normalization
  into the projection's bias,
- what only trains (stochastic depth, dropout) goes.

Layers that stay keep their names. `stage{s}_block{b}_mlp` is new and stands for a
block's norm, expand, gelu, grn, project and layer_scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_convnext.fusions import NORMS, TRAINING_ONLY, copy, fuse
from keras_convnext.layers import LayerScale, Rematerialized

_FOLDABLE = (keras.layers.Normalization, LayerScale, *NORMS)


def fold(model: keras.Model) -> keras.Model:
    """Returns a new, equal, faster model for deployment; `model` is not changed.

    The new model has no stochastic depth and no dropout, so that it is of no use for
    training. `unfolded` says what algebra could not put elsewhere.

    Args:
        model: A functional model of this library's layers, or one that holds such a
            model as a layer. Any variant; the precision policies are kept.

    Returns:
        A functional model that takes and gives the same shapes: for a classifier
        `(batch, height, width, channels)` and `(batch, classes)`.

    Raises:
        ValueError: The model is not functional or uses a layer twice.
    """
    return fold_with_reasons(model)[0]


def unfolded(model: keras.Model) -> dict[str, str]:
    """Returns which norms and scales `fold` leaves as they are, and why.

    Args:
        model: As for `fold`.

    Returns:
        A reason for each layer's name.
    """
    return fold_with_reasons(model)[1]


def fold_with_reasons(model: keras.Model) -> tuple[keras.Model, dict[str, str]]:
    """Returns what `fold` and `unfolded` return, for the price of one.

    Args:
        model: As for `fold`.

    Raises:
        ValueError: As `fold`.
    """
    walk = _Walk(model)
    return walk.folded, walk.left


@dataclass(frozen=True)
class _Step:
    """One layer of a functional model and what it is called with.

    Attributes:
        layer: The layer, or a Keras operation that is none.
        args: Its positional arguments; tensors stand as `_Key`.
        kwargs: Its named arguments, likewise.
    """

    layer: Any
    args: Any
    kwargs: Any

    @property
    def inputs(self) -> list[_Key]:
        """The tensors among the arguments."""
        return _keys_in((self.args, self.kwargs))


@dataclass(frozen=True)
class _Key:
    """A tensor: output number `index` of the layer called `name`."""

    name: str
    index: int = 0


class _Walk:
    """One pass over a model from its inputs to its outputs.

    Attributes:
        folded: The new model.
        left: A reason for each layer that could have been folded away and was not.
    """

    def __init__(self, model: keras.Model) -> None:
        if isinstance(model, keras.Sequential) and model.built:
            model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
        self.left: dict[str, str] = {}
        config, self._steps = _read(model)
        outputs = _with_keys(config["output_layers"])
        self._outputs = set(_keys_in(outputs))
        self._consumers: dict[_Key, list[_Step]] = {}
        for step in self._steps:
            for key in step.inputs:
                self._consumers.setdefault(key, []).append(step)
        self._new: dict[_Key, Any] = {
            _Key(layer.name): keras.Input(
                batch_shape=layer.batch_shape, dtype=layer.dtype, name=layer.name
            )
            for layer in model.layers
            if isinstance(layer, keras.layers.InputLayer)
        }
        inputs = self._filled(_with_keys(config["input_layers"]))
        fused: set[str] = set()
        for step in self._steps:
            if step.layer.name not in fused:
                fused |= self._add(step)
        self.folded = keras.Model(inputs, self._filled(outputs), name=model.name)

    def _filled(self, structure: Any) -> Any:
        """Returns the structure with the new model's tensors in it."""
        return _map_keys(self._new.__getitem__, structure)

    def _chain(self, step: _Step) -> list[_Step]:
        """Returns `step` and those behind it that nothing else is fed by."""
        chain = [step]
        while True:
            key = _Key(chain[-1].layer.name)
            followers = self._consumers.get(key, [])
            if key in self._outputs or len(followers) != 1:
                return chain
            if len(followers[0].inputs) != 1:
                return chain
            chain.append(followers[0])

    def _add(self, step: _Step) -> set[str]:
        """Adds a layer, or it and what is fused with it; returns their names."""
        args, kwargs = self._filled(step.args), self._filled(step.kwargs)
        chain = [one.layer for one in self._chain(step)]
        fusion = fuse(chain)
        if fusion is None:
            if len(chain) > 1:
                reason = f"{chain[1].name} behind it cannot take it in"
            elif _Key(step.layer.name) in self._outputs:
                reason = "its output is an output of the model"
            else:
                reason = "its output goes to more than one layer"
            made = self._copied(step.layer, reason, *args, **kwargs)
            for index, tensor in enumerate(keras.tree.flatten(made)):
                self._new[_Key(step.layer.name, index)] = tensor
            return {step.layer.name}
        fused = chain[: fusion.length]
        self._new[_Key(fused[-1].name)] = fusion.call(*args)
        return {layer.name for layer in fused}

    def _copied(self, layer: Any, reason: str, *args: Any, **kwargs: Any) -> Any:
        """Returns the output of a copy of `layer`; what is inside of it is folded.

        Args:
            layer: The layer.
            reason: Why it is not fused.
            *args: The new tensors that it is called with.
            **kwargs: Its named arguments.
        """
        if isinstance(layer, TRAINING_ONLY):
            return args[0]
        if isinstance(layer, Rematerialized):
            return self._run(list(layer.layers), args[0])
        if isinstance(layer, keras.Model):
            inner = _Walk(layer)
            self.left.update(inner.left)
            return inner.folded(*args, **kwargs)
        if isinstance(layer, _FOLDABLE):
            self.left[layer.name] = reason
        new = copy(layer)
        made = new(*args, **kwargs)
        if isinstance(layer, keras.layers.Layer):
            new.set_weights(layer.get_weights())
        return made

    def _run(self, layers: list[keras.layers.Layer], x: Any) -> Any:
        """Returns the output of layers that are called one after another."""
        while layers:
            fusion = fuse(layers)
            if fusion is None:
                layer, *layers = layers
                behind = layers[0].name if layers else "nothing"
                x = self._copied(layer, f"{behind} behind it cannot take it in", x)
            else:
                x, layers = fusion.call(x), layers[fusion.length :]
        return x


def _read(model: keras.Model) -> tuple[dict[str, Any], list[_Step]]:
    """Returns a functional model's configuration and its layers in order.

    The configuration is Keras' public description of the graph: `layer.input` would
    not do, since a model inside of a model answers with its own.

    Raises:
        ValueError: The model is not functional or uses a layer twice.
    """
    config = model.get_config() if getattr(model, "inputs", None) else {}
    if "output_layers" not in config:
        raise ValueError(
            "fold wants a functional Keras model that has been built; got "
            f"{type(model).__name__} {getattr(model, 'name', '')!r}."
        )
    operations = {operation.name: operation for operation in model.operations}
    steps = []
    for entry in config["layers"]:
        nodes = entry["inbound_nodes"]
        if len(nodes) > 1:
            raise ValueError(
                "fold takes models that use each layer once; "
                f"{entry['name']!r} is used {len(nodes)} times."
            )
        for node in nodes:
            args, kwargs = _with_keys(node["args"]), _with_keys(node["kwargs"])
            steps.append(_Step(operations[entry["name"]], args, kwargs))
    return config, steps


def _with_keys(structure: Any) -> Any:
    """Returns a part of a configuration with `_Key`s for the tensors in it."""
    if isinstance(structure, dict):
        if structure.get("class_name") == "__keras_tensor__":
            return _with_keys(structure["config"]["keras_history"])
        if "class_name" in structure:
            return keras.saving.deserialize_keras_object(structure)
        return {name: _with_keys(value) for name, value in structure.items()}
    if isinstance(structure, list | tuple):
        if [type(value) for value in structure] == [str, int, int]:
            return _Key(structure[0], structure[2])
        return type(structure)(_with_keys(value) for value in structure)
    return structure


def _map_keys(function: Callable[[_Key], Any], structure: Any) -> Any:
    if isinstance(structure, _Key):
        return function(structure)
    if isinstance(structure, dict):
        return {name: _map_keys(function, part) for name, part in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure)(_map_keys(function, part) for part in structure)
    return structure


def _keys_in(structure: Any) -> list[_Key]:
    found: list[_Key] = []
    _map_keys(found.append, structure)
    return found
