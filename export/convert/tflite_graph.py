"""A TFLite file that can be changed: its operators, its tensors and what is constant.

TensorFlow's converter has no setting for single operators, so files are edited.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

OPERATORS = schema.BuiltinOperator
_FILE_IDENTIFIER = b"TFL3"
# Of tensors that stand for real numbers in steps, and of such numbers themselves.
_INTEGERS = {
    schema.TensorType.INT8: np.int8,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
}
# The versions of the two conversions that know 16 bits and a step for each channel.
_VERSIONS = {OPERATORS.QUANTIZE: 2, OPERATORS.DEQUANTIZE: 5}


class Graph:
    """A TFLite file's first graph; its others are what loops repeat.

    Tensors are numbers, operators the objects of TFLite's schema.

    Args:
        contents: The file.

    Attributes:
        operators: In the order of work; what is put here is what `packed` writes.
    """

    def __init__(self, contents: bytes) -> None:
        self._size = len(contents)
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(contents))
        self._tensors = self._model.subgraphs[0].tensors
        self.operators: list[Any] = list(self._model.subgraphs[0].operators)
        self._makers: dict[int, Any] = {}
        self._users: dict[int, list[Any]] = {}
        for operator in self.operators:
            for tensor in operator.outputs:
                self._makers[int(tensor)] = operator
            for tensor in set(map(int, operator.inputs)):
                self._users.setdefault(tensor, []).append(operator)

    def packed(self) -> bytes:
        """Returns the file."""
        self._model.subgraphs[0].operators = self.operators
        builder = flatbuffers.Builder(self._size)
        packed = self._model.Pack(builder)
        builder.Finish(packed, file_identifier=_FILE_IDENTIFIER)
        return bytes(builder.Output())

    def kind(self, operator: Any) -> int:
        """Returns which of `OPERATORS` it is."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        # Older files have the code in a field of one byte.
        return int(max(code.builtinCode, code.deprecatedBuiltinCode))

    def need_version(self, operator: Any, version: int) -> None:
        """Says that an operator's kernel has to know what this version knows."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        code.version = max(code.version, version)

    def maker(self, tensor: int) -> Any | None:
        """Returns the operator that makes a tensor, as the file was read."""
        return self._makers.get(tensor)

    def users(self, tensor: int) -> list[Any]:
        """Returns the operators that take a tensor, as the file was read."""
        return self._users.get(tensor, [])

    def is_input(self, tensor: int) -> bool:
        """Returns True if a tensor is what the file is asked with."""
        return tensor in map(int, self._model.subgraphs[0].inputs)

    def name(self, tensor: int) -> str:
        """Returns a tensor's name."""
        return str(self._tensors[tensor].name.decode())

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Returns a tensor's shape."""
        shape = self._tensors[tensor].shape
        # A scalar has none.
        return () if shape is None else tuple(map(int, shape))

    def is_constant(self, tensor: int) -> bool:
        """Returns True if a tensor's values are in the file."""
        data = self._data(tensor)
        return data is not None and len(data) > 0

    def is_integer(self, tensor: int) -> bool:
        """Returns True if a tensor holds integers that stand for real numbers."""
        described = self._tensors[tensor]
        quantization = described.quantization
        return (
            described.type in _INTEGERS
            and quantization is not None
            and quantization.scale is not None
        )

    def values(self, tensor: int) -> np.ndarray:
        """Returns the real numbers that a constant stands for, float32."""
        described = self._tensors[tensor]
        raw = np.asarray(self._data(tensor), np.uint8)
        if not self.is_integer(tensor):
            return raw.view("<f4").reshape(self.shape(tensor))
        quantization = described.quantization
        steps = raw.view(_INTEGERS[described.type]).reshape(self.shape(tensor))
        across = np.ones(max(1, steps.ndim), int)
        if len(quantization.scale) > 1:
            across[quantization.quantizedDimension] = -1
        scale, zero = (
            np.asarray(part, np.float64).reshape(across)
            for part in (quantization.scale, quantization.zeroPoint)
        )
        real = (steps - zero) * scale
        return real.reshape(self.shape(tensor)).astype(np.float32)

    def become_float(self, tensor: int) -> None:
        """Lets a tensor hold float32."""
        described = self._tensors[tensor]
        described.type, described.quantization = schema.TensorType.FLOAT32, None

    def float_like(self, tensor: int, values: np.ndarray | None = None) -> int:
        """Returns a new float32 tensor of another's shape.

        Args:
            tensor: The other one.
            values: What is in it, if it is a constant.
        """
        old, new = self._tensors[tensor], schema.TensorT()
        new.shape, new.shapeSignature = old.shape, old.shapeSignature
        new.name, new.hasRank = old.name + b"/float", old.hasRank
        new.buffer = 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.ascontiguousarray(values, "<f4").ravel().view(np.uint8)
            self._model.buffers.append(buffer)
            new.buffer = len(self._model.buffers) - 1
        self._tensors.append(new)
        self.become_float(len(self._tensors) - 1)
        return len(self._tensors) - 1

    def conversion(self, kind: int, given: int, made: int) -> Any:
        """Returns an operator that converts between integers and float32.

        Args:
            kind: `OPERATORS.QUANTIZE` or `OPERATORS.DEQUANTIZE`.
            given: The tensor that it takes.
            made: The tensor that it makes.
        """
        operator = schema.OperatorT()
        operator.inputs, operator.outputs = [given], [made]
        operator.opcodeIndex = self._code(kind)
        return operator

    def _data(self, tensor: int) -> Any:
        return self._model.buffers[self._tensors[tensor].buffer].data

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
