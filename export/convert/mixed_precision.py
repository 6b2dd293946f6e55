"""Lets those parts of an 8-bit TFLite file compute in float32 that lose most.

docs/reference/quantization.md has the figures behind these choices. In files whose
activations are integers:

- the softmax: TFLite's integer one has steps of 1/256 for its answers whatever they
  are;
- norms: they divide by a root of a mean of squares, and one scale has to do for the
  squares of all positions, so that those of the quieter ones are rounded away;
- residual sums: what is rounded there goes through all blocks that follow;
- convolutions and the last layer.

What stays in integers are the matrix products of the blocks and the activation between
them: most of the work, and most of the weights. In files with integers for weights
alone it is the strided convolutions and the last layer that compute with float32's.

The weights stay in 8 bits all the same, and are converted when a runtime loads the
file, except those of the first and the last layer where they are few. Depthwise
convolutions take and give float32, and round inside: they have a kernel for 8-bit
weights, which is the fastest of all on CPUs (that for integers is many times slower).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .tflite_graph import OPERATORS, Graph

_CONVOLUTIONS = {OPERATORS.CONV_2D, OPERATORS.DEPTHWISE_CONV_2D}
_WEIGHTED = {*_CONVOLUTIONS, OPERATORS.FULLY_CONNECTED}
# The version of the depthwise convolution with float32 around 8-bit weights.
_MIXED_VERSION = 6
# What an island grows from, and what joins it if it works on an island's numbers.
_NORM_SEEDS = {
    OPERATORS.MEAN,
    OPERATORS.SUM,
    OPERATORS.RSQRT,
    OPERATORS.SQRT,
    OPERATORS.SOFTMAX,
}
_SEEDS = {*_NORM_SEEDS, *_CONVOLUTIONS, OPERATORS.ADD}
_ELEMENTWISE = {OPERATORS.SUB, OPERATORS.MUL, OPERATORS.DIV, OPERATORS.MAXIMUM}
# The share of the network's weights that may be stored in 32 bits instead of 8 at
# either end of it: less than 1/600 of the float32 file.
_FEW = 0.002


def of_integers(contents: bytes, exact: bytes) -> bytes:
    """Returns a file of integer activations with islands of float32.

    Args:
        contents: The file, as the converter made it.
        exact: A float32 file of the same network.
    """
    graph = Graph(contents)
    edit = _Edit(graph, Graph(exact))
    edit.make_float(edit.islands())
    return graph.packed()


def of_weights(contents: bytes, exact: bytes) -> bytes:
    """Returns a file of 8-bit weights whose convolutions compute in float32.

    Args:
        contents: The file, as the converter made it.
        exact: A float32 file of the same network.
    """
    graph = Graph(contents)
    edit = _Edit(graph, Graph(exact))
    chosen = [op for op in graph.operators if edit.has_sensitive_weights(op)]
    edit.make_float({id(operator) for operator in chosen})
    return graph.packed()


class _Edit:
    """The change of one file."""

    def __init__(self, graph: Graph, exact: Graph) -> None:
        self._graph = graph
        self._float: dict[int, int] = {}
        self._exact = {
            exact.name(int(operator.outputs[0])): exact.values(int(operator.inputs[1]))
            for operator in exact.operators
            if exact.kind(operator) in _WEIGHTED
            and exact.is_constant(int(operator.inputs[1]))
        }
        self._few = _FEW * sum(weights.size for weights in self._exact.values())
        dense = [
            operator
            for operator in graph.operators
            if graph.kind(operator) == OPERATORS.FULLY_CONNECTED
        ]
        self._last = dense[-1:]

    def has_sensitive_weights(self, operator: Any) -> bool:
        """Returns True if it is a strided convolution or the network's last layer."""
        is_strided = self._graph.kind(operator) == OPERATORS.CONV_2D
        return is_strided or self._is_last(operator)

    def islands(self) -> set[int]:
        """Returns the ids of the operators that are to compute in float32."""
        chosen: set[int] = set()
        tensors: set[int] = set()
        for operator in self._graph.operators:
            kind = self._graph.kind(operator)
            joins = kind in _ELEMENTWISE and self._belongs(operator, tensors)
            if kind in _SEEDS or joins or self._is_last(operator):
                chosen.add(id(operator))
                tensors.update(map(int, operator.outputs))
        return chosen

    def make_float(self, chosen: set[int]) -> None:
        """Lets operators compute in float32, with conversions around them.

        Args:
            chosen: Their ids.
        """
        graph = self._graph
        made: list[Any] = []
        dropped: set[int] = set()
        for operator in graph.operators:
            if id(operator) in dropped:
                continue
            if id(operator) not in chosen:
                made.append(operator)
                continue
            for tensor in dict.fromkeys(map(int, operator.inputs)):
                if tensor >= 0 and graph.is_integer(tensor):
                    made += self._as_float(operator, tensor)
            operator.inputs = [
                self._float.get(int(tensor), tensor) for tensor in operator.inputs
            ]
            (output,) = map(int, operator.outputs)
            made.append(operator)
            if not graph.is_integer(output):
                continue
            others = [u for u in graph.users(output) if id(u) not in chosen]
            back = [u for u in others if graph.kind(u) == OPERATORS.DEQUANTIZE]
            if back and len(back) == len(others):
                # What comes next is the conversion to float32: it is not needed.
                dropped.update(map(id, back))
                self._float[output] = int(back[0].outputs[0])
            elif others:
                twin = self._float[output] = graph.float_like(output)
                made.append(graph.conversion(OPERATORS.QUANTIZE, twin, output))
            else:
                graph.become_float(output)
            operator.outputs = [self._float.get(output, output)]
        graph.operators = made

    def _is_last(self, operator: Any) -> bool:
        return any(operator is last for last in self._last)

    def _is_first(self, operator: Any) -> bool:
        """Returns True if an operator works on the image itself."""
        tensor = int(operator.inputs[0])
        while (maker := self._graph.maker(tensor)) is not None:
            if self._graph.kind(maker) in _WEIGHTED:
                return False
            tensor = int(maker.inputs[0])
        return self._graph.is_input(tensor)

    def _belongs(self, operator: Any, tensors: set[int]) -> bool:
        """Returns True if an elementwise operator is part of a norm."""
        graph = self._graph
        one, other = (int(tensor) for tensor in operator.inputs)
        if one == other:
            (output,) = map(int, operator.outputs)
            squares_for = [graph.kind(user) for user in graph.users(output)]
            return one in tensors or all(kind in _NORM_SEEDS for kind in squares_for)
        is_own = graph.shape(one) != graph.shape(other) or any(
            map(graph.is_constant, (one, other))
        )
        return is_own and bool({one, other} & tensors)

    def _as_float(self, operator: Any, tensor: int) -> list[Any]:
        """Gives an integer tensor a float32 twin, if it has none.

        Returns:
            What computes the twin.
        """
        graph = self._graph
        if tensor in self._float:
            return []
        if not graph.is_constant(tensor):
            twin = self._float[tensor] = graph.float_like(tensor)
            return [graph.conversion(OPERATORS.DEQUANTIZE, tensor, twin)]
        is_weight = graph.kind(operator) in _WEIGHTED and tensor == operator.inputs[1]
        if not is_weight:
            self._float[tensor] = graph.float_like(tensor, graph.values(tensor))
            return []
        if graph.kind(operator) == OPERATORS.DEPTHWISE_CONV_2D:
            graph.need_version(operator, _MIXED_VERSION)
            return []
        exact = self._exact_weights(operator)
        twin = self._float[tensor] = graph.float_like(tensor, exact)
        if exact is not None:
            return []
        return [graph.conversion(OPERATORS.DEQUANTIZE, tensor, twin)]

    def _exact_weights(self, operator: Any) -> np.ndarray | None:
        """Returns float32's own weights for the first and last layer, if few."""
        exact = self._exact.get(self._graph.name(int(operator.outputs[0])))
        if exact is None or exact.size > self._few:
            return None
        if not (self._is_first(operator) or self._is_last(operator)):
            return None
        same = exact.shape == self._graph.shape(int(operator.inputs[1]))
        return exact if same else None
