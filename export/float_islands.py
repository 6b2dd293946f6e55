"""Takes norms and the softmax of an integer TFLite file back to float32.

Two things lose most of the accuracy of integer files (docs/export.md has figures).
TFLite's integer softmax has steps of 1/256 for its answers whatever they are. And a
norm divides by a root of a mean of squares: one scale has to do for the squares of all
positions, and those of the quieter ones are rounded away. Both are a small part of the
work. The matrix products, convolutions, activations and residual sums stay integers.

The converter cannot leave single operators out, so its file is edited: where integers
go into such an island they are converted to float32, and back where they leave it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_FILE_IDENTIFIER = b"TFL3"
_OPERATORS = schema.BuiltinOperator
# What an island grows from, and what joins it if it works on an island's numbers.
_SEEDS = {
    _OPERATORS.MEAN,
    _OPERATORS.SUM,
    _OPERATORS.RSQRT,
    _OPERATORS.SQRT,
    _OPERATORS.SOFTMAX,
}
_ELEMENTWISE = {
    _OPERATORS.ADD,
    _OPERATORS.SUB,
    _OPERATORS.MUL,
    _OPERATORS.DIV,
    _OPERATORS.MAXIMUM,
}
# The versions of the two conversions that know 16 bits.
_VERSIONS = {_OPERATORS.QUANTIZE: 2, _OPERATORS.DEQUANTIZE: 3}


def with_float_islands(contents: bytes) -> bytes:
    """Returns an integer TFLite file whose norms and softmax compute in float32.

    Args:
        contents: The file, as the converter made it.
    """
    edit = _Edit(contents)
    edit.make_float(edit.islands())
    return edit.packed()


class _Edit:
    """A TFLite file that is being changed."""

    def __init__(self, contents: bytes) -> None:
        self._size = len(contents)
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(contents))
        self._graph = self._model.subgraphs[0]
        self._operators = list(self._graph.operators)
        self._uses: dict[int, list[Any]] = {}
        for operator in self._operators:
            for tensor in set(operator.inputs):
                self._uses.setdefault(int(tensor), []).append(operator)
        self._float: dict[int, int] = {}

    def islands(self) -> set[int]:
        """Returns the ids of the operators that are to compute in float32."""
        chosen: set[int] = set()
        tensors: set[int] = set()
        for operator in self._operators:
            kind = self._kind(operator)
            joins = kind in _ELEMENTWISE and self._belongs(operator, tensors)
            if kind in _SEEDS or joins:
                chosen.add(id(operator))
                tensors.update(map(int, operator.outputs))
        return chosen

    def _belongs(self, operator: Any, tensors: set[int]) -> bool:
        """Returns whether an elementwise operator is part of a norm.

        A residual sum, which may take a norm's output too, is not: its two inputs
        are of one shape and neither is a constant.
        """
        one, other = (int(tensor) for tensor in operator.inputs)
        if one == other:
            squares_for = [self._kind(user) for user in self._users(operator)]
            return one in tensors or all(kind in _SEEDS for kind in squares_for)
        # A scalar has no shape.
        shapes = [
            tuple(() if (shape := self._graph.tensors[tensor].shape) is None else shape)
            for tensor in (one, other)
        ]
        is_own = shapes[0] != shapes[1] or any(map(self._is_constant, (one, other)))
        return is_own and bool({one, other} & tensors)

    def make_float(self, chosen: set[int]) -> None:
        """Lets operators compute in float32, with conversions around them.

        Args:
            chosen: What `islands` returned.
        """
        made: list[Any] = []
        dropped: set[int] = set()
        for operator in self._operators:
            if id(operator) in dropped:
                continue
            if id(operator) not in chosen:
                made.append(operator)
                continue
            for tensor in dict.fromkeys(map(int, operator.inputs)):
                if self._is_integer(tensor) and tensor not in self._float:
                    made += self._dequantized(tensor)
            inputs = [
                self._float.get(int(tensor), tensor) for tensor in operator.inputs
            ]
            (output,) = map(int, operator.outputs)
            others = [u for u in self._uses.get(output, []) if id(u) not in chosen]
            operator.inputs = inputs
            made.append(operator)
            if not self._is_integer(output):
                continue
            back = [u for u in others if self._kind(u) == _OPERATORS.DEQUANTIZE]
            if back and len(back) == len(others):
                # What comes next is the conversion to float32: it is not needed.
                dropped.update(map(id, back))
                self._float[output] = int(back[0].outputs[0])
            elif others:
                self._float[output] = self._new_tensor(output, self._name(output))
                made.append(
                    self._conversion(_OPERATORS.QUANTIZE, self._float[output], output)
                )
            else:
                self._become_float(self._graph.tensors[output])
            operator.outputs = [self._float.get(output, output)]
        self._graph.operators = made

    def packed(self) -> bytes:
        """Returns the file."""
        builder = flatbuffers.Builder(self._size)
        packed = self._model.Pack(builder)
        builder.Finish(packed, file_identifier=_FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _kind(self, operator: Any) -> int:
        code = self._model.operatorCodes[operator.opcodeIndex]
        # Older files have the code in a field of one byte.
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    def _users(self, operator: Any) -> Iterable[Any]:
        return [user for tensor in operator.outputs for user in self._uses[int(tensor)]]

    def _data(self, tensor: int) -> Any:
        return self._model.buffers[self._graph.tensors[tensor].buffer].data

    def _is_constant(self, tensor: int) -> bool:
        data = self._data(tensor)
        return data is not None and len(data) > 0

    def _is_integer(self, tensor: int) -> bool:
        """Returns whether a tensor holds integers that stand for real numbers."""
        described = self._graph.tensors[tensor]
        quantization = described.quantization
        return (
            described.type in (schema.TensorType.INT8, schema.TensorType.INT16)
            and quantization is not None
            and quantization.scale is not None
        )

    def _name(self, tensor: int) -> bytes:
        return self._graph.tensors[tensor].name + b"/float"

    @staticmethod
    def _become_float(described: Any) -> None:
        described.type, described.quantization = schema.TensorType.FLOAT32, None

    def _new_tensor(self, like: int, name: bytes, buffer: int = 0) -> int:
        old, new = self._graph.tensors[like], schema.TensorT()
        new.shape, new.shapeSignature = old.shape, old.shapeSignature
        new.name, new.buffer, new.hasRank = name, buffer, old.hasRank
        self._become_float(new)
        self._graph.tensors.append(new)
        return len(self._graph.tensors) - 1

    def _dequantized(self, tensor: int) -> list[Any]:
        """Gives an integer tensor a float32 twin; returns what computes it."""
        if not self._is_constant(tensor):
            twin = self._float[tensor] = self._new_tensor(tensor, self._name(tensor))
            return [self._conversion(_OPERATORS.DEQUANTIZE, tensor, twin)]
        described = self._graph.tensors[tensor]
        dtype = np.int8 if described.type == schema.TensorType.INT8 else np.int16
        raw = np.asarray(self._data(tensor), np.uint8).view(dtype)
        steps = raw.astype(np.float32) - np.float32(described.quantization.zeroPoint[0])
        buffer = schema.BufferT()
        values = steps * np.float32(described.quantization.scale[0])
        buffer.data = values.astype("<f4").view(np.uint8)
        self._model.buffers.append(buffer)
        number = len(self._model.buffers) - 1
        self._float[tensor] = self._new_tensor(tensor, self._name(tensor), number)
        return []

    def _conversion(self, kind: int, given: int, made: int) -> Any:
        """Returns an operator that converts between integers and float32."""
        operator = schema.OperatorT()
        operator.inputs, operator.outputs = [given], [made]
        operator.opcodeIndex = self._code(kind)
        return operator

    def _code(self, kind: int) -> int:
        codes = self._model.operatorCodes
        for number, code in enumerate(codes):
            known = max(code.builtinCode, code.deprecatedBuiltinCode)
            if known == kind and code.version >= _VERSIONS[kind]:
                return number
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = kind
        code.version = _VERSIONS[kind]
        codes.append(code)
        return len(codes) - 1
