"""Reads torch's pickles without running them.

A pickle is a program, and whoever loads one with Python's own module runs it. This
machine knows the few instructions that torch writes and the few names that stand
for tensors; it calls nothing. Any other name or instruction ends the reading, and
the error says which it was.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from keras_convnext.weights.errors import BadWeightsFileError

# torch's name of each kind of storage, and the name of its numbers.
STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_ORDERED_DICT = ("collections", "OrderedDict")
_TENSOR = ("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = ("torch._utils", "_rebuild_parameter")
_KNOWN = {_ORDERED_DICT, _TENSOR, _PARAMETER}
_KNOWN |= {("torch", storage) for storage in STORAGES}
_MARK = object()
_MOST_INSTRUCTIONS = 2_000_000


@dataclass(frozen=True)
class StorageReference:
    """Where the numbers of a tensor lie.

    Attributes:
        key: Its name in the file.
        dtype: Name of the numbers' type.
        count: How many numbers there are.
    """

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class TensorReference:
    """A tensor as the pickle describes it: a view of a storage."""

    storage: StorageReference
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A name from the pickle. Nothing is imported; it only stands for itself."""

    module: str
    name: str


def read_pickle(stream: BinaryIO, source: str) -> Any:
    """Returns what a pickle describes: dictionaries, lists, numbers and tensors.

    Args:
        stream: The pickle; it is read up to the instruction that ends it.
        source: The file, for messages.

    Raises:
        BadWeightsFileError: It is damaged, or holds anything else.
    """
    machine = _Machine(source)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > _MOST_INSTRUCTIONS:
                raise BadWeightsFileError(f"{source}: its pickle does not end.")
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.step(opcode.name, argument)
    except BadWeightsFileError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise BadWeightsFileError(
            f"{source}: its pickle is damaged ({error})."
        ) from None
    raise BadWeightsFileError(f"{source}: its pickle ends too early.")


class _Machine:
    """The stack and the memo of a pickle, and what each instruction does to them."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in _INSTRUCTIONS:
            _INSTRUCTIONS[name](self, argument)
        elif name not in _NOTHING:
            raise self.refusal(f"the instruction {name}")

    def refusal(self, what: str) -> BadWeightsFileError:
        return BadWeightsFileError(
            f"{self.source} was refused: its pickle tries to use {what}. Only "
            "tensors, and dictionaries and lists of them, are read; nothing was run."
        )

    def since_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def find(self, module: str, name: str) -> None:
        if (module, name) not in _KNOWN:
            raise self.refusal(f"{module}.{name}")
        self.stack.append(_Name(module, name))

    def find_on_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.find(str(module), str(name))

    def make_tuple(self, length: int) -> None:
        items = self.stack[-length:]
        del self.stack[-length:]
        self.stack.append(tuple(items))

    def append(self) -> None:
        item = self.stack.pop()
        self._list().append(item)

    def extend(self) -> None:
        items = self.since_mark()
        self._list().extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError("items for what is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a nest of tuples can take for ever; torch has no such keys.
            if not isinstance(key, str | int | float | bool):
                raise ValueError("a dictionary with keys that are no names")
            target[key] = value

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def reduce(self) -> None:
        """Where Python would call something: rebuilds tensors and dictionaries."""
        arguments, what = self.stack.pop(), self.stack.pop()
        if not isinstance(what, _Name) or not isinstance(arguments, tuple):
            raise self.refusal("a call of something that is not a name")
        called = (what.module, what.name)
        if called == _ORDERED_DICT and not arguments:
            self.stack.append({})
        elif called == _TENSOR and len(arguments) >= 4:
            self.stack.append(_tensor(*arguments[:4]))
        elif called == _PARAMETER and arguments:
            self.stack.append(arguments[0])
        else:
            raise self.refusal(f"a call of {what.module}.{what.name}")

    def build(self) -> None:
        """Where Python would set attributes: torch's dictionaries carry notes."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise self.refusal("the state of an object")

    def persistent(self) -> None:
        reference = self.stack.pop()
        if not isinstance(reference, tuple) or len(reference) < 5:
            raise ValueError("a reference that is no storage")
        word, kind, key, _, count = reference[:5]
        if word != "storage" or not isinstance(kind, _Name) or kind.module != "torch":
            raise self.refusal(f"a reference to {word!r}")
        if not isinstance(count, int) or count < 0:
            raise ValueError("a storage without a length")
        self.stack.append(StorageReference(str(key), STORAGES[kind.name], count))

    def _list(self) -> list[Any]:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError("items for what is no list")
        return target


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> TensorReference:
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, StorageReference) or len(shape) != len(strides):
        raise ValueError("a tensor without a storage")
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError("a tensor with a shape that is none")
    return TensorReference(storage, offset, tuple(shape), tuple(strides))


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset(
    [
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
    ]
)
_NOTHING = frozenset({"PROTO", "FRAME"})
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": lambda machine, _: machine.stack.append(_MARK),
    "POP": lambda machine, _: (machine.stack.pop(), None)[1],
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "APPEND": lambda machine, _: machine.append(),
    "APPENDS": lambda machine, _: machine.extend(),
    "SETITEM": lambda machine, _: machine.set_item(),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "GLOBAL": lambda machine, name: machine.find(*str(name).split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.find_on_stack(),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.persistent(),
    "PUT": lambda machine, index: machine.put(index),
    "BINPUT": lambda machine, index: machine.put(index),
    "LONG_BINPUT": lambda machine, index: machine.put(index),
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "GET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
}


def read_pickle_bytes(data: bytes, source: str) -> Any:
    """Returns what `read_pickle` returns, for a pickle in memory."""
    return read_pickle(io.BytesIO(data), source)
