"""Reads tensors from safetensors files, in one piece or in shards."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from keras_convnext.weights.errors import BadWeightsFileError
from keras_convnext.weights.tensor_file import TensorFile, TensorInfo

# safetensors' words; others (integers, 8-bit floats) are nothing that is loaded.
_DTYPES = {
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}
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
        tensors = {}
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118, not a mapping
                    part = file.get_slice(name)
                    dtype = _DTYPES.get(part.get_dtype(), np.dtype(np.int8))
                    tensors[name] = TensorInfo(tuple(part.get_shape()), dtype)
            self._offsets = _read_offsets(path)
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


def _read_offsets(path: Path) -> dict[str, tuple[int, int]]:
    """Returns where each tensor begins and ends, in bytes, of a file that is sound."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        header = json.loads(file.read(length))
    start = _LENGTH_BYTES + length
    return {
        name: (start + entry["data_offsets"][0], start + entry["data_offsets"][1])
        for name, entry in header.items()
        if name != _METADATA
    }


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
