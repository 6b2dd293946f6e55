"""Reads tensors from safetensors files."""

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


class SafetensorsFile(TensorFile):
    """Tensors of one safetensors file.

    The library checks the file; the numbers are then looked at where they lie, in the
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
    """Returns the tensors of a valid file, and their first and last bytes."""
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
