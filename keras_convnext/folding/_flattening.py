"""Models inside of models opened up: one flat graph for whoever reads or folds it.

Keras' own ways to adapt a model nest it: `keras.Sequential([backbone, head])`,
`backbone(inputs)`, augmentation layers in front of a whole classifier. What looks for
the last layer, a norm before a convolution or the input's normalization would have to
look into each of them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import keras

from keras_convnext.folding._algebra import copy
from keras_convnext.folding._graph import Graph, Key, as_functional, map_keys, read
from keras_convnext.layers import StochasticDepth

# Layers that pass on what they get when a model answers. Keras versions have more or
# fewer of them; tests hold that each of them does nothing.
_IDLE_NAMES = (
    "ActivityRegularization",
    "AlphaDropout",
    "AugMix",
    "CutMix",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "MixUp",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
)
IDLE_AT_INFERENCE: tuple[type, ...] = (
    StochasticDepth,
    *(
        getattr(keras.layers, name)
        for name in _IDLE_NAMES
        if hasattr(keras.layers, name)
    ),
)
# Copies of them are not to be had from their configuration.
_FIXED = (keras.layers.Lambda,)


@dataclass(frozen=True)
class Call:
    """One call of a layer in a flat model, with that model's own tensors.

    `layer.input` and `layer.output` would not do: a layer of a flat model has been
    called in the model that was flattened, too, and tells those tensors.

    Attributes:
        layer: The layer, or a Keras operation that is none.
        args: What it is called with.
        kwargs: What it is called with by name.
        outputs: The tensors that it makes.
    """

    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Any, ...]

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The tensors among what it is called with."""
        flat = keras.tree.flatten((self.args, self.kwargs))
        return tuple(value for value in flat if keras.utils.is_keras_tensor(value))


def flatten(model: keras.Model) -> keras.Model:
    """Returns a model that answers as `model` does and has no models inside.

    Answers are meant as `predict` gives them, with `training=False`. The layers are the
    same objects, with the same variables and names. Layers that do nothing when a model
    answers (dropout, stochastic depth, random augmentation) are not in it, so that it
    is of no use for training.

    What cannot be opened stays one layer: subclassed models, and models with a layer
    that has weights and the name of another layer. Layers and operations without
    weights whose name is taken are copied under another one.

    Args:
        model: A functional model, or a built `keras.Sequential`; any inputs and
            outputs.

    Returns:
        A functional model with inputs and outputs of the same structure.

    Raises:
        ValueError: The model is not functional, or has not been built.
    """
    return flatten_with_calls(model)[0]


def flatten_with_calls(model: keras.Model) -> tuple[keras.Model, tuple[Call, ...]]:
    """Returns the result of `flatten` and the calls in it, in order.

    Args:
        model: As for `flatten`.

    Raises:
        ValueError: As `flatten`.
    """
    flattening = _Flattening(model)
    return flattening.model, tuple(flattening.calls)


class _Flattening:
    """One pass over a model and the models inside of it.

    Attributes:
        model: The flat model.
        calls: What is called in it.
    """

    def __init__(self, model: keras.Model) -> None:
        graph = read(model)
        self.calls: list[Call] = []
        self._by_name = {layer.name: layer for layer in graph.layers}
        self._renamed: dict[int, Any] = {}
        inputs = map_keys(lambda key: _input_like(graph.layer(key)), graph.inputs)
        outputs = self._run(graph, _pairs(graph.inputs, inputs) or {})
        self.model = keras.Model(inputs, outputs, name=model.name)

    def _run(self, graph: Graph, inputs: dict[Key, Any]) -> Any:
        """Calls a graph's layers and returns its outputs in their structure."""
        made = dict(inputs)
        for step in graph.steps:
            args, kwargs = map_keys(made.__getitem__, (tuple(step.args), step.kwargs))
            outputs = self._call(step.layer, args, kwargs)
            for index, tensor in enumerate(keras.tree.flatten(outputs)):
                made[Key(step.layer.name, step.call, index)] = tensor
        return map_keys(made.__getitem__, graph.outputs)

    def _call(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Returns a layer's outputs; a model's layers are called one by one."""
        if _is_idle(layer, args):
            return args[0]
        inner = as_functional(layer)
        if inner is not None:
            graph = read(inner)
            inputs = self._entered(graph, args[0] if args else kwargs.get("inputs"))
            if inputs is not None and not self._clash(graph):
                self._by_name = {one.name: one for one in graph.layers} | self._by_name
                return self._run(graph, inputs)
        layer = self._under_own_name(layer)
        outputs = layer(*args, **kwargs)
        made = tuple(keras.tree.flatten(outputs))
        self.calls.append(Call(layer, args, kwargs, made))
        return outputs

    def _entered(self, graph: Graph, given: Any) -> dict[Key, Any] | None:
        """Returns a graph's inputs after Keras' conversion.

        Returns nothing where that takes more than another type.
        """
        pairs = _pairs(graph.inputs, given)
        if pairs is None:
            return None
        entered = {}
        for key, tensor in pairs.items():
            wanted = graph.layer(key)
            if not keras.utils.is_keras_tensor(tensor):
                return None
            if len(tensor.shape) != len(wanted.batch_shape):
                return None
            same = tensor.dtype == wanted.dtype
            entered[key] = tensor if same else self._cast(tensor, wanted.dtype)
        return entered

    def _cast(self, tensor: Any, dtype: str) -> Any:
        """Returns a tensor in another type, by an operation with a free name."""
        made = keras.ops.cast(tensor, dtype)
        operation = keras.Model(tensor, made).operations[-1]
        operation.name = self._free_name(operation.name)
        self._by_name[operation.name] = operation
        self.calls.append(Call(operation, (tensor,), {}, (made,)))
        return made

    def _clash(self, graph: Graph) -> bool:
        """Returns True if a layer of a graph has a name that it cannot do without."""
        return any(
            self._by_name.get(layer.name, layer) is not layer
            for layer in graph.layers
            if getattr(layer, "variables", ()) or isinstance(layer, _FIXED)
        )

    def _under_own_name(self, layer: Any) -> Any:
        """Returns the layer, or a copy with a name of its own where that is taken."""
        if self._by_name.setdefault(layer.name, layer) is layer:
            return layer
        if id(layer) not in self._renamed:
            copied = copy(layer)
            copied.name = self._free_name(layer.name)
            self._by_name[copied.name] = self._renamed[id(layer)] = copied
        return self._renamed[id(layer)]

    def _free_name(self, name: str) -> str:
        others = (f"{name}_{number}" for number in itertools.count(1))
        return next(free for free in others if free not in self._by_name)


def _is_idle(layer: Any, args: tuple[Any, ...]) -> bool:
    """Returns True if a call gives what it is given when the model answers.

    A `training=True` that the call was written with makes no difference: what the
    whole model is called with goes over it.
    """
    if type(layer) not in IDLE_AT_INFERENCE:
        return False
    if len(args) != 1 or not keras.utils.is_keras_tensor(args[0]):
        return False
    return bool(layer.compute_dtype == args[0].dtype)


def _input_like(layer: keras.layers.InputLayer) -> Any:
    return keras.Input(
        batch_shape=layer.batch_shape, dtype=layer.dtype, name=layer.name
    )


def _pairs(keys: Any, given: Any) -> dict[Key, Any] | None:
    """Returns each of a model's inputs with what it is called with.

    Args:
        keys: The structure of the model's inputs.
        given: Tensors in that structure, by the inputs' names, or one by itself.

    Returns:
        Nothing where the structures have nothing to do with each other.
    """
    if isinstance(keys, Key):
        alone = (
            given[0] if isinstance(given, list | tuple) and len(given) == 1 else given
        )
        return {keys: alone}
    if isinstance(keys, list | tuple) and isinstance(given, dict):
        keys = {key.name: key for key in keys if isinstance(key, Key)}
    if isinstance(keys, list | tuple):
        keys = dict(enumerate(keys))
        several = given if isinstance(given, list | tuple) else [given]
        given = dict(enumerate(several))
    if not isinstance(given, dict) or set(keys) != set(given):
        return None
    found: dict[Key, Any] = {}
    for name, part in keys.items():
        inner = _pairs(part, given[name])
        if inner is None:
            return None
        found |= inner
    return found
