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
# The largest integer of 16 bits.
_MOST = 32767
# Of tensors that stand for real numbers in steps, and of such numbers themselves.
_INTEGERS = {
    schema.TensorType.INT8: np.int8,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
}
# Of operators that are put in: QUANTIZE and the arithmetic know 16 bits by these
# versions, DEQUANTIZE 16 bits and a step for each channel.
_VERSIONS = {
    OPERATORS.ADD: 2,
    OPERATORS.DEQUANTIZE: 5,
    OPERATORS.LOGISTIC: 3,
    OPERATORS.MEAN: 2,
    OPERATORS.MUL: 2,
    OPERATORS.QUANTIZE: 2,
    OPERATORS.RSQRT: 2,
}


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
        new = self._new(tensor, "float")
        if values is not None:
            self._tensors[new].buffer = self._stored(values.astype("<f4"))
        self.become_float(new)
        return new

    def conversion(self, kind: int, given: int, made: int) -> Any:
        """Returns an operator that takes and makes a tensor and has no options.

        Args:
            kind: `OPERATORS.QUANTIZE` or `OPERATORS.DEQUANTIZE`, which convert between
                integers and float32, `LOGISTIC` or `RSQRT`.
            given: The tensor that it takes.
            made: The tensor that it makes.
        """
        return self._operator(kind, [given], made)

    def product(self, one: int, other: int, made: int) -> Any:
        """Returns an operator that multiplies two tensors."""
        operator = self._operator(OPERATORS.MUL, [one, other], made)
        operator.builtinOptionsType = schema.BuiltinOptions.MulOptions
        operator.builtinOptions = schema.MulOptionsT()
        return operator

    def mean(self, reduction: Any, given: int, made: int) -> Any:
        """Returns an operator that takes the mean over a reduction's dimensions.

        Args:
            reduction: The other operator.
            given: The tensor that it takes.
            made: The tensor that it makes.
        """
        dimensions = int(reduction.inputs[1])
        operator = self._operator(OPERATORS.MEAN, [given, dimensions], made)
        operator.builtinOptionsType = reduction.builtinOptionsType
        operator.builtinOptions = reduction.builtinOptions
        return operator

    def sum(self, one: int, other: int, made: int) -> Any:
        """Returns an operator that adds two tensors, whose steps are any numbers."""
        operator = self._operator(OPERATORS.ADD, [one, other], made)
        operator.builtinOptionsType = schema.BuiltinOptions.AddOptions
        operator.builtinOptions = schema.AddOptionsT()
        operator.builtinOptions.potScaleInt16 = False
        return operator

    def is_in_integers(self, tensor: int) -> bool:
        """Returns True if a tensor holds integers of any meaning, or is none."""
        return tensor < 0 or self._tensors[tensor].type in _INTEGERS

    def step(self, tensor: int) -> float:
        """Returns what one step of an integer tensor stands for."""
        return float(self._tensors[tensor].quantization.scale[0])

    def become_steps(self, tensor: int, dtype: Any, step: float, zero: int = 0) -> None:
        """Lets a tensor hold integers that stand for real numbers.

        Args:
            tensor: Which one.
            dtype: `np.int8` or `np.int16`.
            step: What one step stands for.
            zero: The integer that stands for 0.
        """
        described = self._tensors[tensor]
        described.type = next(kind for kind, of in _INTEGERS.items() if of is dtype)
        described.quantization = schema.QuantizationParametersT()
        described.quantization.scale = np.array([step], np.float32)
        described.quantization.zeroPoint = np.array([zero], np.int64)

    def widen(self, tensor: int, factor: float) -> None:
        """Lets a tensor's steps reach further, if it holds 16-bit integers."""
        if self._tensors[tensor].type == schema.TensorType.INT16:
            self.become_steps(tensor, np.int16, factor * self.step(tensor))

    def widened(self, tensor: int, factor: float) -> int:
        """Returns a constant of the same numbers in larger steps."""
        new, old = self._new(tensor, "widened"), self._tensors[tensor]
        made, steps = self._tensors[new], old.quantization
        dtype = _INTEGERS[old.type]
        values = np.asarray(self._data(tensor), np.uint8).view(dtype) / factor
        made.type, made.buffer = old.type, self._stored(np.rint(values).astype(dtype))
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = np.float32(factor) * np.asarray(steps.scale)
        made.quantization.zeroPoint = steps.zeroPoint
        made.quantization.quantizedDimension = steps.quantizedDimension
        return new

    def steps_like(self, tensor: int, called: str, step: float) -> int:
        """Returns a new int16 tensor of another's shape.

        Args:
            tensor: The other one.
            called: What its name ends in.
            step: What one step stands for.
        """
        new = self._new(tensor, called)
        self.become_steps(new, np.int16, step)
        return new

    def constant_step(self, tensor: int, called: str, number: float) -> int:
        """Returns a new constant of 16 bits: one positive number."""
        new = self.steps_like(tensor, called, number / _MOST)
        described = self._tensors[new]
        described.shape, described.shapeSignature = np.array([], np.int32), None
        described.buffer = self._stored(np.array([_MOST], "<i2"))
        return new

    def become_output(self, old: int, new: int) -> None:
        """Lets the file answer with another tensor."""
        (graph,) = self._model.subgraphs
        graph.outputs = [new if int(each) == old else each for each in graph.outputs]
        for signature in self._model.signatureDefs or ():
            for each in signature.outputs:
                each.tensorIndex = new if each.tensorIndex == old else each.tensorIndex

    def forget_dead(self) -> None:
        """Takes out operators whose outputs nothing takes."""
        (graph,) = self._model.subgraphs
        needed, kept = set(map(int, graph.outputs)), []
        for operator in reversed(self.operators):
            if needed.intersection(map(int, operator.outputs)):
                needed.update(map(int, operator.inputs))
                kept.append(operator)
        self.operators = kept[::-1]

    def forget_unused(self) -> None:
        """Takes out tensors and kinds of operators that no operator needs.

        A runtime has memory for each of the ones, and a kernel for each of the others.
        """
        used = sorted({operator.opcodeIndex for operator in self.operators})
        for operator in self.operators:
            operator.opcodeIndex = used.index(operator.opcodeIndex)
        codes = self._model.operatorCodes
        self._model.operatorCodes = [codes[number] for number in used]
        (graph,) = self._model.subgraphs
        ends = [*graph.inputs, *graph.outputs]
        known = {int(t) for op in self.operators for t in (*op.inputs, *op.outputs)}
        kept = sorted({*known, *map(int, ends)} - {-1})
        place = {tensor: number for number, tensor in enumerate(kept)} | {-1: -1}
        for part in (graph, *self.operators):
            part.inputs = [place[int(tensor)] for tensor in part.inputs]
            part.outputs = [place[int(tensor)] for tensor in part.outputs]
        for signature in self._model.signatureDefs or ():
            for each in (*signature.inputs, *signature.outputs):
                each.tensorIndex = place[each.tensorIndex]
        graph.tensors = self._tensors = [self._tensors[tensor] for tensor in kept]
        held = {tensor.buffer for tensor in self._tensors}
        held |= {each.buffer for each in self._model.metadata or ()}
        for number, buffer in enumerate(self._model.buffers):
            buffer.data = buffer.data if number in held else None

    def _operator(self, kind: int, given: list[int], made: int) -> Any:
        operator = schema.OperatorT()
        operator.inputs, operator.outputs = given, [made]
        operator.opcodeIndex = self._code(kind)
        return operator

    def _new(self, tensor: int, called: str) -> int:
        old, new = self._tensors[tensor], schema.TensorT()
        new.shape, new.shapeSignature = old.shape, old.shapeSignature
        new.name, new.hasRank = old.name + f"/{called}".encode(), old.hasRank
        new.buffer = 0
        self._tensors.append(new)
        return len(self._tensors) - 1

    def _stored(self, values: np.ndarray) -> int:
        buffer = schema.BufferT()
        buffer.data = np.ascontiguousarray(values).ravel().view(np.uint8)
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1

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
