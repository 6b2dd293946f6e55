"""Where a tensor of a functional model comes from, through models inside models."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Origin:
    """What made a tensor.

    Attributes:
        operation: The layer, or the operation of `keras.ops`.
        inputs: The tensors that it was called with, in order.
        calls: The calls of models around it, the outermost first.
    """

    operation: Any
    inputs: tuple[Tensor, ...]
    calls: tuple[Any, ...]

    @property
    def kind(self) -> str:
        """The operation's class name, such as "Dense" or, of `keras.ops`, "Softmax"."""
        return type(self.operation).__name__


@dataclass(frozen=True)
class Tensor:
    """A symbolic tensor, and the calls of models inside which it stands.

    Attributes:
        symbol: The `keras.KerasTensor`.
        calls: For each model around it, outermost first, the tensors that the model
            was called with.
    """

    symbol: Any
    calls: tuple[Any, ...] = ()


def is_graph(model: Any) -> bool:
    """Returns True if a model shows what it consists of: functional or Sequential.

    A model whose class has a `call` of its own may do anything with its layers.
    """
    return (
        isinstance(model, keras.Model)
        and type(model).call in _calls_of_graphs()
        and bool(getattr(model, "outputs", None))
    )


@functools.cache
def _calls_of_graphs() -> tuple[Any, ...]:
    # The class of functional models has no public name.
    anything = keras.Input((1,))
    return keras.Sequential.call, type(keras.Model(anything, anything)).call


def outputs_of(model: keras.Model) -> list[Tensor]:
    """Returns a model's outputs; a model that is no graph has none.

    Args:
        model: Any Keras model.
    """
    return [Tensor(symbol) for symbol in model.outputs] if is_graph(model) else []


def trace(tensor: Tensor) -> Origin | None:
    """Returns the origin of a tensor; `None` for an input of the outermost model.

    Calls of functional models and of `keras.Sequential` are looked into: the origin of
    such a call's output is the layer inside.

    Args:
        tensor: One of `outputs_of`, or of an `Origin.inputs`.
    """
    symbol, calls = tensor.symbol, tensor.calls
    while True:
        operation, node, index = symbol._keras_history
        if isinstance(operation, keras.layers.InputLayer):
            if not calls:
                return None
            (model, given), calls = calls[-1], calls[:-1]
            number = [id(each) for each in model.inputs].index(id(symbol))
            symbol = given[number]
        elif is_graph(operation):
            given = tuple(operation._inbound_nodes[node].input_tensors)
            calls = (*calls, (operation, given))
            symbol = operation.outputs[index]
        else:
            given = operation._inbound_nodes[node].input_tensors
            return Origin(
                operation, tuple(Tensor(each, calls) for each in given), calls
            )


def walk(tensor: Tensor) -> Iterator[Origin]:
    """Yields all that a tensor is computed from, each call once, the last first."""
    waiting, seen = [tensor], set()
    while waiting:
        current = waiting.pop()
        key = (id(current.symbol), tuple(id(given) for _, given in current.calls))
        if key in seen:
            continue
        seen.add(key)
        origin = trace(current)
        if origin is not None:
            yield origin
            waiting += origin.inputs
