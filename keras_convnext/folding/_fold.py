"""A trained model made into an equal, faster one for deployment.

What a model does to a tensor between two matrix products is linear for the most part
and can be done to the matrices beforehand, once, in float64:

- the input's normalization goes into the stem's kernel and bias,
- a norm's scale, offset and mean subtraction go into the dense layer or convolution
  behind it, which leaves the division by the deviation (`ScaleByInverseStd`),
- batch normalization goes into the dense layer or convolution before it,
- layer scale goes into the projection, the offset of Global Response Normalization
  into the projection's bias,
- what only trains (stochastic depth, dropout, random augmentation) goes, and what LoRA
  has learnt goes into the kernels.

A layer that is used several times stays as it is, and is used as often. Layers that
stay keep their names. `stage{s}_block{b}_mlp` is new and stands for a
block's norm, expand, gelu, grn, project and layer_scale.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras

from keras_convnext.folding._algebra import copy
from keras_convnext.folding._flattening import IDLE_AT_INFERENCE
from keras_convnext.folding._graph import Key, Step, keys_in, map_keys, read
from keras_convnext.folding._rules import BATCH_NORMS, NORMS, fuse
from keras_convnext.layers import LayerScale, Rematerialized
from keras_convnext.merged_weights import check_floats, merged_values, own_variables

_FOLDABLE = (keras.layers.Normalization, LayerScale, *NORMS, *BATCH_NORMS)


def fold(model: keras.Model) -> keras.Model:
    """Returns a new, equal, faster model for deployment; `model` is not changed.

    The new model has no stochastic depth, dropout or random augmentation (which Keras
    turns on where a model is called without `training=False`), so that it is of no use
    for training. `folding_report` says what algebra could not put elsewhere.

    Args:
        model: A functional model of this library's layers, a built `keras.Sequential`,
            or one that holds such a model as a layer; that one is folded by itself and
            keeps its name. Any variant; the precision policies are kept.

    Returns:
        A functional model that takes and gives the same shapes: for a classifier
        `(batch, height, width, channels)` and `(batch, classes)`.

    Raises:
        ValueError: The model is not functional, or is quantized.

    Example:
        >>> import keras_convnext
        >>> model = keras_convnext.create("convnext_atto", classes=10)
        >>> folded = keras_convnext.fold(model)
        >>> folded.count_params() < model.count_params()
        True
    """
    return fold_with_reasons(model)[0]


def folding_report(model: keras.Model) -> dict[str, str]:
    """Returns which norms and scales `fold` leaves as they are, and why.

    Args:
        model: As for `fold`.

    Returns:
        A reason for each layer's name.

    Example:
        >>> import keras_convnext
        >>> from keras_convnext import folding
        >>> folding.folding_report(keras_convnext.create("convnext_atto", classes=10))
        {'stem_norm': 'its output goes to more than one layer'}
    """
    return fold_with_reasons(model)[1]


def fold_with_reasons(model: keras.Model) -> tuple[keras.Model, dict[str, str]]:
    """Returns the results of `fold` and `folding_report`, computed once.

    Args:
        model: As for `fold`.

    Raises:
        ValueError: As `fold`.
    """
    check_floats(model, "fold")
    walk = _Walk(model)
    return walk.folded, walk.left


class _Walk:
    """One pass over a model from its inputs to its outputs.

    Attributes:
        folded: The new model.
        left: A reason for each layer that could have been folded away and was not.
    """

    def __init__(self, model: keras.Model) -> None:
        self.left: dict[str, str] = {}
        graph = read(model)
        used = Counter(step.layer.name for step in graph.steps)
        self._shared = {name for name, times in used.items() if times > 1}
        self._copies: dict[int, Any] = {}
        self._steps = graph.steps
        self._outputs = set(keys_in(graph.outputs))
        self._consumers: dict[Key, list[Step]] = {}
        for step in self._steps:
            for key in step.inputs:
                self._consumers.setdefault(key, []).append(step)
        self._new: dict[Key, Any] = {
            Key(layer.name): keras.Input(
                batch_shape=layer.batch_shape, dtype=layer.dtype, name=layer.name
            )
            for layer in graph.layers
            if isinstance(layer, keras.layers.InputLayer)
        }
        inputs = self._filled(graph.inputs)
        fused: set[str] = set()
        for step in self._steps:
            if step.layer.name not in fused:
                fused |= self._add(step)
        self.folded = keras.Model(inputs, self._filled(graph.outputs), name=model.name)

    def _filled(self, structure: Any) -> Any:
        """Returns the structure with the new model's tensors in it."""
        return map_keys(self._new.__getitem__, structure)

    def _chain(self, step: Step) -> list[Step]:
        """Returns `step` and those behind it that nothing else is fed by.

        What is used several times is alone in its chain.
        """
        chain = [step]
        while chain[-1].layer.name not in self._shared:
            key = Key(chain[-1].layer.name)
            followers = self._consumers.get(key, [])
            if key in self._outputs or len(followers) != 1:
                break
            if len(followers[0].inputs) != 1 or followers[0].kwargs.get("training"):
                break
            if followers[0].layer.name in self._shared:
                break
            chain.append(followers[0])
        return chain

    def _add(self, step: Step) -> set[str]:
        """Adds a layer, or all that is fused with it; returns the names of those."""
        args, kwargs = self._filled(step.args), self._filled(step.kwargs)
        chain = [one.layer for one in self._chain(step)]
        is_shared = step.layer.name in self._shared
        fusion = None if is_shared else fuse(chain)
        if fusion is None:
            if is_shared:
                reason = "it is used several times"
            elif len(chain) > 1:
                reason = f"{chain[1].name} behind it cannot take it in"
            elif Key(step.layer.name) in self._outputs:
                reason = "its output is an output of the model"
            else:
                reason = "its output goes to more than one layer"
            made = self._copied(step.layer, reason, *args, **kwargs)
            for index, tensor in enumerate(keras.tree.flatten(made)):
                self._new[Key(step.layer.name, step.call, index)] = tensor
            return set()
        fused = chain[: fusion.length]
        self._new[Key(fused[-1].name)] = fusion.call(*args)
        return {layer.name for layer in fused}

    def _copied(self, layer: Any, reason: str, *args: Any, **kwargs: Any) -> Any:
        """Returns the output of a copy of `layer`; what is inside of it is folded.

        Args:
            layer: The layer.
            reason: Why it is not fused.
            *args: The new tensors that it is called with.
            **kwargs: Its named arguments.
        """
        if isinstance(layer, IDLE_AT_INFERENCE):
            return args[0]
        if id(layer) in self._copies:
            return self._copies[id(layer)](*args, **kwargs)
        if isinstance(layer, Rematerialized) and layer.name not in self._shared:
            return self._run(list(layer.layers), args[0])
        if isinstance(layer, keras.Model):
            inner = _Walk(layer)
            self.left.update(inner.left)
            self._copies[id(layer)] = inner.folded
            return inner.folded(*args, **kwargs)
        if isinstance(layer, _FOLDABLE):
            self.left[layer.name] = reason
        new = self._copies[id(layer)] = copy(layer)
        made = new(*args, **kwargs)
        if isinstance(layer, keras.layers.Layer):
            values = merged_values(layer)
            for variable, value in zip(own_variables(new), values, strict=True):
                variable.assign(value)
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
