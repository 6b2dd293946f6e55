"""Reads torch's pickles without running them.

A pickle is a program, and whoever loads one with Python's own module runs it. This
machine imports nothing and calls nothing. It knows the few names that stand for
tensors; whatever else lies beside them (settings, scores, whole objects) becomes a
`PassedOver`, of which only the name is kept and what it was given. Names of what could
do harm, and unknown instructions, end the reading, and the error says which it was.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from keras_convnext.weights.errors import BadWeightsFileError
from keras_convnext.weights.readers.harmful_names import is_harmful

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
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
_ORDERED_DICT = ("collections", "OrderedDict")
_TENSOR = ("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = ("torch._utils", "_rebuild_parameter")
_STATEFUL_PARAMETER = ("torch._utils", "_rebuild_parameter_with_state")
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


class PassedOver(dict[Any, Any]):
    """An object of the pickle that is no tensor, and was not made.

    Dictionaries of other kinds than Python's keep their items.

    Attributes:
        name: What the pickle calls it, "argparse.Namespace".
        state: The attributes that it would have been given, if any.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.state: Any = None


@dataclass(frozen=True)
class _Name:
    """A name from the pickle. Nothing is imported; it only stands for itself."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Description:
    """What a pickle describes.

    Attributes:
        content: Dictionaries, lists, numbers, tensors and what was passed over.
        storages: Every storage that it mentions, by key.
        passed_over: The names of what was passed over, in order.
    """

    content: Any
    storages: dict[str, StorageReference]
    passed_over: tuple[str, ...]


def read_pickle(stream: BinaryIO, source: str) -> Description:
    """Returns the contents of a pickle without running anything in it.

    Args:
        stream: The pickle; it is read up to the instruction that ends it.
        source: The file, for messages.

    Raises:
        BadWeightsFileError: It is damaged, or tries to use what could do harm.
    """
    machine = _Machine(source)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > _MOST_INSTRUCTIONS:
                raise BadWeightsFileError(f"{source}: its pickle does not end.")
            if opcode.name == "STOP":
                return Description(
                    machine.stack.pop(), machine.storages, tuple(machine.passed_over)
                )
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
        self.storages: dict[str, StorageReference] = {}
        # A dictionary keeps the order, and each name once.
        self.passed_over: dict[str, None] = {}

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
            f"{self.source} was refused: its pickle tries to use {what}. Nothing was "
            "run."
        )

    def since_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def named(self, module: str, name: str) -> _Name:
        """Returns the stand-in for a name in the pickle.

        Raises:
            BadWeightsFileError: It is one that could do harm.
        """
        if is_harmful(module, name):
            raise self.refusal(f"{module}.{name}")
        return _Name(module, name)

    def pass_over(self, what: Any) -> PassedOver:
        """Returns the stand-in for an object that is not created."""
        # Writing out a nest of tuples can take for ever, as hashing it can.
        name = str(what) if isinstance(what, _Name | str) else type(what).__name__
        self.passed_over.setdefault(name)
        return PassedOver(name)

    def find_on_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a name that is none")
        self.stack.append(self.named(module, name))

    def make_tuple(self, length: int) -> None:
        items = self.stack[-length:]
        del self.stack[-length:]
        self.stack.append(tuple(items))

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, PassedOver):
            raise ValueError("items for what is no list")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError("items for what is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a nest of tuples can take for ever; tensors have no such keys.
            if isinstance(key, str | int | float | bool):
                target[key] = value

    def make_dict(self, items: list[Any]) -> None:
        self.stack.append({})
        self.set_items(items)

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def reduce(self) -> None:
        """Where Python would call something: rebuilds tensors and dictionaries."""
        arguments, what = self.stack.pop(), self.stack.pop()
        self.stack.append(self._made(what, arguments))

    def _made(self, what: Any, arguments: Any) -> Any:
        if not isinstance(what, _Name) or not isinstance(arguments, tuple):
            raise self.refusal("a call of something that is not a name")
        called = (what.module, what.name)
        if called == _ORDERED_DICT and not arguments:
            return {}
        if called == _TENSOR and len(arguments) >= 4:
            if isinstance(arguments[0], PassedOver):
                return arguments[0]
            return _tensor(*arguments[:4])
        if called in (_PARAMETER, _STATEFUL_PARAMETER) and arguments:
            return arguments[0]
        return self.pass_over(what)

    def make(self, count: int) -> None:
        """Where Python would make an object of a class and `count` arguments."""
        del self.stack[len(self.stack) - count :]
        self.stack.append(self.pass_over(self.stack.pop()))

    def make_since_mark(self, what: Any = None) -> None:
        items = self.since_mark()
        self.stack.append(self.pass_over(what or items[0]))

    def build(self) -> None:
        """Where Python would set attributes: torch's dictionaries carry notes."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, PassedOver):
            target.state = state
        elif not isinstance(target, dict):
            raise self.refusal("the state of an object")

    def persistent(self) -> None:
        reference = self.stack.pop()
        if not isinstance(reference, tuple) or len(reference) < 5:
            raise ValueError("a reference that is no storage")
        word, kind, key, _, count = reference[:5]
        if word != "storage" or not isinstance(kind, _Name) or kind.module != "torch":
            raise self.refusal("a reference to what is no storage")
        if not isinstance(count, int) or count < 0 or not isinstance(key, str | int):
            raise ValueError("a storage without a length or a key")
        if kind.name not in STORAGES:
            self.stack.append(self.pass_over(kind))
            return
        storage = StorageReference(str(key), STORAGES[kind.name], count)
        self.storages[storage.key] = storage
        self.stack.append(storage)


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
        "BYTEARRAY8",
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
    "EMPTY_SET": lambda machine, _: machine.stack.append(PassedOver("set")),
    "POP_MARK": lambda machine, _: (machine.since_mark(), None)[1],
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "DICT": lambda machine, _: machine.make_dict(machine.since_mark()),
    "FROZENSET": lambda machine, _: machine.make_since_mark("frozenset"),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_item(),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "GLOBAL": lambda machine, name: machine.stack.append(
        machine.named(*str(name).split(" ", 1))
    ),
    "STACK_GLOBAL": lambda machine, _: machine.find_on_stack(),
    "REDUCE": lambda machine, _: machine.reduce(),
    "NEWOBJ": lambda machine, _: machine.make(1),
    "NEWOBJ_EX": lambda machine, _: machine.make(2),
    "OBJ": lambda machine, _: machine.make_since_mark(),
    "INST": lambda machine, name: machine.make_since_mark(
        machine.named(*str(name).split(" ", 1))
    ),
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


def read_pickle_bytes(data: bytes, source: str) -> Description:
    """Returns the result of `read_pickle` for a pickle in memory."""
    return read_pickle(io.BytesIO(data), source)
