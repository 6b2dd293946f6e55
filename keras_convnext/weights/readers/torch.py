"""Reads tensors from torch's files, `.pth` and `.pt`, without torch.

Both formats are read: the zip file of torch 1.6 and later, and the row of pickles
before that. The numbers lie in the file as they are, so that a tensor is read from
its place when it is wanted.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from keras_convnext.weights.errors import BadWeightsFileError
from keras_convnext.weights.readers.archives import (
    open_archive,
    read_small,
    stored_at,
)
from keras_convnext.weights.readers.restricted_pickle import (
    Description,
    StorageReference,
    TensorReference,
    read_pickle,
    read_pickle_bytes,
)
from keras_convnext.weights.tensor_file import TensorFile, TensorInfo

PICKLE = "data.pkl"
_MOST_PICKLE_BYTES = 64 << 20
# What torch's old format begins with: two numbers and a dictionary, each pickled.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_LENGTH = struct.Struct("<q")
# Checkpoints keep the network under one of these, beside optimizers and notes.
_NETWORKS = (
    "model_ema",
    "state_dict_ema",
    "ema_model",
    "ema",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "teacher",
    "net",
    "network",
    "params",
    "weights",
)
# Where a module saved whole keeps its tensors.
_OF_MODULES = ("_parameters", "_buffers")
_DEEPEST = 32
_MOST_TOLD = 3


@dataclass(frozen=True)
class _Stored:
    """Where the numbers of a storage lie in the file."""

    start: int
    count: int


class TorchFile(TensorFile):
    """Tensors of a file that `torch.save` wrote."""

    kind = "torch"

    def __init__(
        self, path: Path, description: Description, storages: Mapping[str, _Stored]
    ) -> None:
        """Takes what the pickle describes and where the storages are.

        Raises:
            BadWeightsFileError: There are no tensors, or they do not fit in the file.
        """
        self._references = _tensors(description, path)
        self._storages = storages
        tensors = {}
        for name, reference in self._references.items():
            _check(reference, storages, f"{path}: {name}")
            tensors[name] = TensorInfo(reference.shape, _dtype(reference))
        self._file = path.open("rb")
        super().__init__(path, tensors)

    def read(self, name: str) -> np.ndarray:
        reference = self._references[name]
        dtype = _dtype(reference)
        first = self._storages[reference.storage.key].start
        self._file.seek(first + reference.offset * dtype.itemsize)
        count = _reach(reference)
        numbers = np.fromfile(self._file, dtype, count)
        if len(numbers) != count:
            raise BadWeightsFileError(f"{self.path}: {name} is cut short.")
        steps = [stride * dtype.itemsize for stride in reference.strides]
        return np.lib.stride_tricks.as_strided(
            numbers, reference.shape, steps, writeable=False
        )

    def close(self) -> None:
        self._file.close()


def open_torch_zip(path: Path) -> TorchFile:
    """Opens a file in torch's zip format.

    Raises:
        BadWeightsFileError: It is damaged, or holds more than tensors.
    """
    with open_archive(path) as archive:
        pickle = next(
            name for name in archive.namelist() if name.split("/")[-1] == PICKLE
        )
        prefix = pickle.removesuffix(PICKLE)
        stored_at(archive, archive.getinfo(pickle))
        description = read_pickle_bytes(
            read_small(archive, pickle, _MOST_PICKLE_BYTES), str(path)
        )
        order = f"{prefix}byteorder"
        if order in archive.namelist() and read_small(archive, order, 16) != b"little":
            raise BadWeightsFileError(
                f"{path} was written on a big-endian machine; save it again on another."
            )
        storages = {}
        for info in archive.infolist():
            if info.filename.startswith(f"{prefix}data/"):
                key = info.filename.removeprefix(f"{prefix}data/")
                storages[key] = _Stored(stored_at(archive, info), info.file_size)
    return TorchFile(path, description, storages)


def open_torch_legacy(path: Path) -> TorchFile:
    """Opens a file in the format that torch wrote before its version 1.6.

    Raises:
        BadWeightsFileError: It is damaged, or holds more than tensors.
    """
    source = str(path)
    with path.open("rb") as file:
        if read_pickle(file, source).content != LEGACY_MAGIC:
            raise BadWeightsFileError(
                f"{path} is a pickle, but not one that torch wrote."
            )
        version = read_pickle(file, source).content
        system = read_pickle(file, source).content
        little = isinstance(system, dict) and system.get("little_endian", True)
        if version != _LEGACY_VERSION or not little:
            raise BadWeightsFileError(
                f"{path} is in another version of torch's old format than "
                f"{_LEGACY_VERSION}, or from a big-endian machine."
            )
        description = read_pickle(file, source)
        keys = read_pickle(file, source).content
        sizes = {
            key: np.dtype(_numbers(storage)).itemsize
            for key, storage in description.storages.items()
        }
        storages = _legacy_storages(file, keys, sizes, path)
    return TorchFile(path, description, storages)


def _legacy_storages(
    file: BinaryIO, keys: Any, sizes: Mapping[str, int], path: Path
) -> dict[str, _Stored]:
    """Walks over the storages, each of which follows its length."""
    if not isinstance(keys, list):
        raise BadWeightsFileError(f"{path}: it does not list its storages.")
    length = path.stat().st_size
    storages = {}
    for key in keys:
        if not isinstance(key, str | int):
            raise BadWeightsFileError(f"{path}: its list of storages is damaged.")
        key = str(key)
        header = file.read(_LENGTH.size)
        if len(header) < _LENGTH.size or key not in sizes:
            raise BadWeightsFileError(f"{path}: the storage {key[:40]} is cut short.")
        count = _LENGTH.unpack(header)[0] * sizes[key]
        start = file.tell()
        if count < 0 or start + count > length:
            raise BadWeightsFileError(f"{path}: the storage {key[:40]} is cut short.")
        storages[key] = _Stored(start, count)
        file.seek(start + count)
    return storages


def _tensors(description: Description, path: Path) -> dict[str, TensorReference]:
    """Finds the network among what a checkpoint holds.

    Raises:
        BadWeightsFileError: There is none.
    """
    tensors = _network(description.content, 0)
    if tensors:
        return tensors
    other = ", ".join(description.passed_over[:_MOST_TOLD])
    raise BadWeightsFileError(
        f"{path} holds no network: a dictionary of tensors, alone or under one of "
        f"{', '.join(_NETWORKS)}"
        + (f"; there is {other}, of which nothing was run." if other else ".")
    )


def _network(content: Any, depth: int) -> dict[str, TensorReference]:
    """Returns the tensors under the first key that has some, else of `content`."""
    if isinstance(content, dict) and depth < len(_NETWORKS):
        for key in _NETWORKS:
            inner = content.get(key)
            if isinstance(inner, dict) and (found := _network(inner, depth + 1)):
                return found
    return dict(_named_tensors(content))


def _named_tensors(content: Any) -> Iterator[tuple[str, TensorReference]]:
    """Yields the tensors of a state dictionary, or of a module saved whole."""
    waiting: list[tuple[str, Any, int]] = [("", content, 0)]
    while waiting:
        prefix, part, depth = waiting.pop()
        state: Any = getattr(part, "state", None)
        is_module = isinstance(state, dict) and isinstance(state.get("_modules"), dict)
        groups = [state[of] for of in _OF_MODULES if of in state] if is_module else []
        for group in groups or [part]:
            for name, value in group.items() if isinstance(group, dict) else ():
                if isinstance(value, TensorReference):
                    yield f"{prefix}{name}", value
        if is_module and depth < _DEEPEST:
            for name, inner in state["_modules"].items():
                waiting.append((f"{prefix}{name}.", inner, depth + 1))


def _numbers(storage: StorageReference) -> np.dtype:
    """Returns the type of a storage's numbers."""
    return np.dtype(
        ml_dtypes.bfloat16 if storage.dtype == "bfloat16" else storage.dtype
    )


def _dtype(reference: TensorReference) -> np.dtype:
    return _numbers(reference.storage)


def _reach(reference: TensorReference) -> int:
    """Returns how many numbers lie from a tensor's first to its last."""
    if 0 in reference.shape:
        return 0
    steps = zip(reference.shape, reference.strides, strict=True)
    return 1 + sum((length - 1) * stride for length, stride in steps)


def _check(
    reference: TensorReference, storages: Mapping[str, _Stored], what: str
) -> None:
    """Refuses a tensor that reaches beyond its storage, or is more than it."""
    stored = storages.get(reference.storage.key)
    if stored is None:
        raise BadWeightsFileError(f"{what} has no numbers in the file.")
    available = stored.count // _dtype(reference).itemsize
    numbers = math.prod(reference.shape)
    if reference.offset + _reach(reference) > available or numbers > available:
        raise BadWeightsFileError(
            f"{what} has shape {reference.shape} and reaches beyond the {available:,} "
            "numbers of its storage."
        )
