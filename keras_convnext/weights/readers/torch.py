"""Reads tensors from torch's files, `.pth` and `.pt`, without torch.

Both formats are read: the zip file of torch 1.6 and later, and the row of pickles
before that. The numbers lie in the file as they are, so that a tensor is read from
its place when it is wanted.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
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
_NETWORKS = ("model_ema", "state_dict_ema", "state_dict", "model", "module", "teacher")


@dataclass(frozen=True)
class _Stored:
    """Where the numbers of a storage lie in the file."""

    start: int
    count: int


class TorchFile(TensorFile):
    """Tensors of a file that `torch.save` wrote."""

    kind = "torch"

    def __init__(
        self, path: Path, content: Any, storages: Mapping[str, _Stored]
    ) -> None:
        """Takes what the pickle describes and where the storages are.

        Raises:
            BadWeightsFileError: There are no tensors, or they do not fit in the file.
        """
        self._references = _tensors(content, path)
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
        content = read_pickle_bytes(
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
    return TorchFile(path, content, storages)


def open_torch_legacy(path: Path) -> TorchFile:
    """Opens a file in the format that torch wrote before its version 1.6.

    Raises:
        BadWeightsFileError: It is damaged, or holds more than tensors.
    """
    source = str(path)
    with path.open("rb") as file:
        if read_pickle(file, source) != LEGACY_MAGIC:
            raise BadWeightsFileError(
                f"{path} is a pickle, but not one that torch wrote."
            )
        version = read_pickle(file, source)
        system = read_pickle(file, source)
        little = isinstance(system, dict) and system.get("little_endian", True)
        if version != _LEGACY_VERSION or not little:
            raise BadWeightsFileError(
                f"{path} is in version {version} of torch's old format, or from a "
                "big-endian machine; only version 1001 of others is known."
            )
        content = read_pickle(file, source)
        keys = read_pickle(file, source)
        sizes = _storage_sizes(content, path)
        storages = _legacy_storages(file, keys, sizes, path)
    return TorchFile(path, content, storages)


def _legacy_storages(
    file: BinaryIO, keys: Any, sizes: Mapping[str, int], path: Path
) -> dict[str, _Stored]:
    """Walks over the storages, each of which follows its length."""
    if not isinstance(keys, list):
        raise BadWeightsFileError(f"{path}: it does not list its storages.")
    length = path.stat().st_size
    storages = {}
    for key in map(str, keys):
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


def _storage_sizes(content: Any, path: Path) -> dict[str, int]:
    """Returns how many bytes a number of each storage takes."""
    return {
        reference.storage.key: _dtype(reference).itemsize
        for reference in _all_tensors(content, path)
    }


def _all_tensors(content: Any, path: Path) -> list[TensorReference]:
    """Returns every tensor anywhere in what a pickle describes."""
    found, waiting, seen = [], [content], set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, TensorReference):
            found.append(item)
        elif isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            waiting += item.values() if isinstance(item, dict) else item
    if not found:
        raise BadWeightsFileError(f"{path} holds no tensors.")
    return found


def _tensors(content: Any, path: Path) -> dict[str, TensorReference]:
    """Finds the network among what a checkpoint holds."""
    for _ in range(len(_NETWORKS)):
        if not isinstance(content, dict):
            break
        tensors = {
            str(name): value
            for name, value in content.items()
            if isinstance(value, TensorReference)
        }
        inner = [key for key in _NETWORKS if isinstance(content.get(key), dict)]
        if not inner:
            if tensors:
                return tensors
            break
        content = content[inner[0]]
    raise BadWeightsFileError(
        f"{path} holds no network: a dictionary of tensors, alone or under one of "
        f"{', '.join(_NETWORKS)}."
    )


def _dtype(reference: TensorReference) -> np.dtype:
    if reference.storage.dtype == "bfloat16":
        bfloat16: np.dtype = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    return np.dtype(reference.storage.dtype)


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
