"""Reads tensors from safetensors files, in one piece or in shards."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from keras_convnext.weights.errors import BadWeightsFileError
from keras_convnext.weights.tensor_file import (
    MOST_TENSORS,
    TensorFile,
    TensorInfo,
    too_many_tensors,
)

# safetensors' words. Those that are not floats of 16 to 64 bits are nothing that is
# loaded, and have to be told by their names.
_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "F4": np.dtype(ml_dtypes.float4_e2m1fn),
    "F6_E2M3": np.dtype(ml_dtypes.float6_e2m3fn),
    "F6_E3M2": np.dtype(ml_dtypes.float6_e3m2fn),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E4M3FNUZ": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E5M2FNUZ": np.dtype(ml_dtypes.float8_e5m2fnuz),
    "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    **{
        f"{letter}{bits}": np.dtype(f"{kind}{bits // 8}")
        for letter, kind, sizes in (
            ("I", "i", (8, 16, 32, 64)),
            ("U", "u", (8, 16, 32, 64)),
            ("F", "f", (16, 32, 64)),
            ("C", "c", (64,)),
        )
        for bits in sizes
    },
}
# safetensors refuses longer ones.
_MOST_HEADER_BYTES, _PIECE_BYTES = 100_000_000, 1 << 20
_LENGTH_BYTES, _METADATA = 8, "__metadata__"
INDEX_ENDING = ".safetensors.index.json"
_MOST_INDEX_BYTES = 16 << 20


class SafetensorsFile(TensorFile):
    """Tensors of one safetensors file.

    The library judges the file; the numbers are then looked at where they lie, in the
    file's own pages, because its numpy interface copies every tensor.
    """

    kind = "safetensors"

    def __init__(self, path: Path) -> None:
        """Opens a file.

        Raises:
            BadWeightsFileError: It is damaged, or its header does not fit it.
        """
        try:
            _check_count(path)
            with safe_open(path, framework="numpy"):
                tensors, self._offsets = _read_header(path)
            self._bytes = np.memmap(path, np.uint8, "r").view(np.ndarray)
        except (SafetensorError, OSError, ValueError, OverflowError) as error:
            raise BadWeightsFileError(
                f"{path} cannot be read as safetensors ({error}); it is damaged or was "
                "not fetched whole."
            ) from error
        super().__init__(path, tensors)

    def read(self, name: str) -> np.ndarray:
        """Returns one tensor, as a view of the file that cannot be written to."""
        info = self.tensors[name]
        try:
            begin, end = self._offsets[name]
            return self._bytes[begin:end].view(info.dtype).reshape(info.shape)
        except (KeyError, ValueError) as error:
            raise BadWeightsFileError(f"{self.path}: {name}: {error}.") from error

    def close(self) -> None:
        del self._bytes


def _check_count(path: Path) -> None:
    """Refuses very many tensors before each of them takes a kilobyte of memory."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        length = min(length, _MOST_HEADER_BYTES)
        # A piece may begin within the word; then one is not counted.
        count = sum(
            file.read(_PIECE_BYTES).count(b'"dtype"')
            for _ in range(0, length, _PIECE_BYTES)
        )
    if count > MOST_TENSORS:
        raise too_many_tensors(path, count)


def _read_header(
    path: Path,
) -> tuple[dict[str, TensorInfo], dict[str, tuple[int, int]]]:
    """Returns what a file that is sound holds, and where, from and to which byte."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        header = json.loads(file.read(length))
    header.pop(_METADATA, None)
    start = _LENGTH_BYTES + length
    tensors, offsets = {}, {}
    for name, entry in header.items():
        # A word of tomorrow's safetensors: bytes of some kind.
        dtype = _DTYPES.get(entry["dtype"], np.dtype(np.void))
        tensors[name] = TensorInfo(tuple(entry["shape"]), dtype)
        begin, end = entry["data_offsets"]
        offsets[name] = start + begin, start + end
    return tensors, offsets


class ShardedSafetensors(TensorFile):
    """Tensors of several safetensors files that an index lists."""

    kind = "sharded safetensors"

    def __init__(self, index: Path) -> None:
        """Opens the files beside an index.

        Args:
            index: The "*.safetensors.index.json".

        Raises:
            BadWeightsFileError: The index is damaged, names a file elsewhere, or
                does not say what its shards hold.
        """
        shard_of = _read_index(index)
        self._shards: dict[str, SafetensorsFile] = {}
        try:
            for shard in sorted(set(shard_of.values())):
                if not (index.parent / shard).is_file():
                    raise BadWeightsFileError(
                        f"{index} lists {shard}, which is not beside it."
                    )
                self._shards[shard] = SafetensorsFile(index.parent / shard)
            self._shard_of = {
                name: shard
                for shard, file in self._shards.items()
                for name in file.tensors
            }
            different = self._shard_of.items() ^ shard_of.items()
            if different:
                raise BadWeightsFileError(
                    f"{index} does not say what its shards hold; "
                    f"{min(name for name, _ in different)!r} is in another place."
                )
        except BadWeightsFileError:
            self.close()
            raise
        tensors = {
            name: self._shards[shard].tensors[name]
            for name, shard in self._shard_of.items()
        }
        super().__init__(index, tensors)

    def read(self, name: str) -> np.ndarray:
        return self._shards[self._shard_of[name]].read(name)

    def close(self) -> None:
        for shard in self._shards.values():
            shard.close()


def _read_index(index: Path) -> dict[str, str]:
    """Returns which file holds each tensor."""
    try:
        if index.stat().st_size > _MOST_INDEX_BYTES:
            raise ValueError("it is too long")
        shard_of = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not all(isinstance(shard, str) for shard in shard_of.values()):
            raise ValueError("its weight_map is not one of names")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadWeightsFileError(
            f"{index} is not an index of safetensors files ({error})."
        ) from error
    for shard in shard_of.values():
        if Path(shard).name != shard or "\\" in shard:
            raise BadWeightsFileError(
                f"{index} names a file that is not beside it: {shard!r}."
            )
    return dict(shard_of)
