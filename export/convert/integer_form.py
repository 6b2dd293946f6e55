"""Makes a TFLite file compute in integers alone, for runtimes without float32.

The converter's file of 16-bit activations and 8-bit weights has float32 at both ends
and around operators that have no kernel of 16 bits: GELU in TFLite Micro; squares,
roots and quotients, as in V2's global response normalization, in LiteRT too. Here they
become operators that both runtimes have for 16 bits:

- GELU is `x * logistic(x * (a + b * x**2))`, at most 3e-4 from the exact one;
- a square is a product, a root `x * rsqrt(x)`, a quotient `x * rsqrt(y) * rsqrt(y)`;
- a norm divides twice (integer_norm.py);
- the file takes int8 pixels, 128 less than those of 0..255, and gives int16.

Integers saturate: what is outside of a tensor's range becomes its end. So the range of
`x**2` ends where the logistic is 0 or 1 to 2e-5, and no step is lost to what lies
beyond. docs/reference/quantization.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ..export_error import ExportError
from . import integer_norm
from .tflite_graph import OPERATORS, Graph

# a and b have the least largest difference from the exact GELU, found by search
# (scipy.optimize.minimize over x in -8..8).
_GELU_A, _GELU_B = 1.6003142, 0.0694018
# x**2 up to 4 squared: from there on the logistic of +-(4a + 64b) is all or nothing.
_MOST_SQUARE = 16.0
# Beyond, TFLite's logistic of 16 bits is all or nothing itself.
_MOST_LOGIT = 10.7
_STEPS = 32767
# A logistic of 16 bits and a softmax have this step, whatever they answer.
_PROBABILITY_STEP = 1 / 32768
# The least integers whose reciprocal root does not saturate. LiteRT draws lines through
# every 128th, so that those of the first 128 are near where this is 32, and only there.
# A denominator, a mean over channels, differs less from image to image: a sixty-fourth
# of the largest.
_LEAST_OF_ROOT, _LEAST_DENOMINATOR = 32, 512
# How far ranges reach beyond the values of the calibration's images.
_HEADROOM = 1.5
# Whose answers have one step whatever they are, and what leaves steps as they are.
_FIXED = {OPERATORS.LOGISTIC, OPERATORS.SOFTMAX, OPERATORS.TANH}
_MOVING = {
    OPERATORS.AVERAGE_POOL_2D,
    OPERATORS.CONCATENATION,
    OPERATORS.MAX_POOL_2D,
    OPERATORS.PAD,
    OPERATORS.RESHAPE,
    OPERATORS.REVERSE_V2,
}
_WEIGHTED = {
    OPERATORS.CONV_2D,
    OPERATORS.DEPTHWISE_CONV_2D,
    OPERATORS.FULLY_CONNECTED,
}
# What LiteRT and TFLite Micro both compute in 16 bits.
_KNOWN = {
    OPERATORS.ADD,
    OPERATORS.AVERAGE_POOL_2D,
    OPERATORS.CONCATENATION,
    OPERATORS.CONV_2D,
    OPERATORS.DEPTHWISE_CONV_2D,
    OPERATORS.FULLY_CONNECTED,
    OPERATORS.LOGISTIC,
    OPERATORS.MAX_POOL_2D,
    OPERATORS.MEAN,
    OPERATORS.MUL,
    OPERATORS.PAD,
    OPERATORS.QUANTIZE,
    OPERATORS.RELU,
    OPERATORS.RESHAPE,
    OPERATORS.REVERSE_V2,
    OPERATORS.RSQRT,
    OPERATORS.SOFTMAX,
    OPERATORS.SUB,
    OPERATORS.SUM,
    OPERATORS.TANH,
}
_NAMES = {kind: name for name, kind in vars(schema.BuiltinOperator).items()}


def of_integers_alone(contents: bytes, _exact: bytes = b"") -> bytes:
    """Returns a file in which no tensor is float32.

    Args:
        contents: A file of 16-bit activations and 8-bit weights, as the converter made
            it.
        _exact: The float32 file, which other edits take weights from.

    Raises:
        ExportError: An operator of the network has no form of integers here.
    """
    graph = Graph(contents)
    for operator in graph.operators:
        kind = graph.kind(operator)
        if not (kind in _KNOWN or kind in _FORMS or kind == OPERATORS.DEQUANTIZE):
            raise _no_form(graph, operator)
    _give_headroom(graph)
    integers = _integers_for(graph)
    norms: dict[int, list[Any]] = {}
    made: list[Any] = []
    for operator in graph.operators:
        given = [integers.get(int(t), int(t)) for t in operator.inputs]
        (output,) = map(int, operator.outputs)
        output = integers.get(output, output)
        kind = graph.kind(operator)
        if kind in (OPERATORS.QUANTIZE, OPERATORS.DEQUANTIZE) and given == [output]:
            continue
        if not all(map(graph.is_in_integers, (*given, output))):
            raise _no_form(graph, operator)
        if kind in _FORMS:
            made += _FORMS[kind](graph, given, output)
            continue
        if id(operator) in norms:
            made += norms[id(operator)]
            continue
        norm = integer_norm.find(graph, operator) if kind == OPERATORS.RSQRT else None
        if norm is not None:
            norms |= integer_norm.normalize(graph, norm, output)
            continue
        operator.inputs, operator.outputs = given, [output]
        if kind == OPERATORS.SUM:
            _widen(graph, operator)
        made.append(operator)
    graph.operators = made
    graph.forget_dead()
    graph.forget_unused()
    return graph.packed()


def _no_form(graph: Graph, operator: Any) -> ExportError:
    name = graph.name(int(operator.outputs[0])).partition(";")[0]
    return ExportError(
        f"integer: {_NAMES[graph.kind(operator)]} ({name}) has no form of 16-bit "
        "integers that TFLite Micro runs; --precision=int16x8 leaves such in float32"
    )


def _give_headroom(graph: Graph) -> None:
    """Lets ranges reach further than the values of the calibration's images.

    A residual sum that saturates loses an image's class; half a bit of 16 is cheap.
    """
    fixed: set[int] = set()
    for operator in graph.operators:
        given, (output,) = int(operator.inputs[0]), map(int, operator.outputs)
        kind = graph.kind(operator)
        is_pixels = kind == OPERATORS.QUANTIZE and graph.is_input(given)
        if kind in _FIXED or is_pixels or (kind in _MOVING and given in fixed):
            fixed.add(output)
        elif not graph.is_constant(output):
            graph.widen(output, _HEADROOM)
        biases = list(map(int, operator.inputs[2:])) if kind in _WEIGHTED else []
        if biases and biases[0] >= 0 and given not in fixed:
            bias = graph.widened(biases[0], _HEADROOM)
            operator.inputs = [*operator.inputs[:2], bias]


def _integers_for(graph: Graph) -> dict[int, int]:
    """Returns for each float32 tensor the one of integers with the same numbers."""
    integers = {}
    for operator in graph.operators:
        (given, *_), (made,) = operator.inputs, operator.outputs
        kind = graph.kind(operator)
        if kind == OPERATORS.QUANTIZE and graph.is_input(given):
            graph.become_steps(given, np.int8, 1.0, -128)
        elif kind == OPERATORS.QUANTIZE:
            integers[int(given)] = int(made)
        elif kind == OPERATORS.DEQUANTIZE:
            integers[int(made)] = int(given)
            graph.become_output(int(made), int(given))
    return integers


def _widen(graph: Graph, operator: Any) -> None:
    """Gives a sum a range of its own; the converter gives it its summands'."""
    (given, _), (made,) = map(int, operator.inputs), map(int, operator.outputs)
    added = [user for user in graph.users(made) if graph.kind(user) == OPERATORS.ADD]
    if added:
        step = graph.step(int(added[0].outputs[0]))
    else:
        count = np.prod(graph.shape(given)) / np.prod(graph.shape(made))
        step = graph.step(given) * float(count)
    graph.become_steps(made, np.int16, step)


def _gelu(graph: Graph, given: list[int], made: int) -> list[Any]:
    (x,) = given

    def tensor(called: str, most: float) -> int:
        return graph.steps_like(x, called, most / _STEPS)

    square = tensor("square", _MOST_SQUARE)
    scaled = tensor("scaled", _MOST_SQUARE * _GELU_B)
    factor = tensor("factor", _MOST_SQUARE * _GELU_B + _GELU_A)
    logit = tensor("logit", _MOST_LOGIT)
    share = graph.steps_like(x, "share", _PROBABILITY_STEP)
    return [
        graph.product(x, x, square),
        graph.product(square, graph.constant_step(x, "b", _GELU_B), scaled),
        graph.sum(scaled, graph.constant_step(x, "a", _GELU_A), factor),
        graph.product(x, factor, logit),
        graph.conversion(OPERATORS.LOGISTIC, logit, share),
        graph.product(x, share, made),
    ]


def _square(graph: Graph, given: list[int], made: int) -> list[Any]:
    (x,) = given
    return [graph.product(x, x, made)]


def _root(graph: Graph, given: list[int], made: int) -> list[Any]:
    (x,) = given
    inverse = _inverse_root_step(graph, x, _LEAST_OF_ROOT)
    reciprocal = graph.steps_like(x, "rsqrt", inverse)
    return [
        graph.conversion(OPERATORS.RSQRT, x, reciprocal),
        graph.product(x, reciprocal, made),
    ]


def _quotient(graph: Graph, given: list[int], made: int) -> list[Any]:
    x, y = given
    inverse = _inverse_root_step(graph, y, _LEAST_DENOMINATOR)
    reciprocal = graph.steps_like(y, "rsqrt", inverse)
    # x / sqrt(y) is x / y, whose range is known, times sqrt(y).
    most = graph.step(made) * _STEPS * np.sqrt(graph.step(y) * _STEPS)
    half = graph.steps_like(made, "half", most / _STEPS)
    return [
        graph.conversion(OPERATORS.RSQRT, y, reciprocal),
        graph.product(x, reciprocal, half),
        graph.product(half, reciprocal, made),
    ]


def _inverse_root_step(graph: Graph, tensor: int, least: int) -> float:
    """Returns the step with which all but the smallest numbers have a 1 / sqrt."""
    return float(1 / np.sqrt(least * graph.step(tensor)) / _STEPS)


_FORMS: dict[int, Callable[[Graph, list[int], int], list[Any]]] = {
    OPERATORS.GELU: _gelu,
    OPERATORS.SQUARE: _square,
    OPERATORS.SQRT: _root,
    OPERATORS.DIV: _quotient,
}
