"""Reads tensors from numpy's `.npz` files."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from keras_convnext.weights.errors import BadWeightsFileError
from keras_convnext.weights.readers.archives import UNREADABLE, open_archive
from keras_convnext.weights.tensor_file import TensorFile, TensorInfo

ENDING = ".npy"
_HEADERS = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


class NpzFile(TensorFile):
    """Tensors of an `.npz` file; names as they are."""

    kind = "numpy archive"

    def __init__(self, path: Path) -> None:
        """Opens a file and reads the headers of its arrays.

        Raises:
            BadWeightsFileError: It is damaged, or holds Python objects.
        """
        self.path = path
        self._archive = open_archive(path)
        tensors: dict[str, TensorInfo] = {}
        try:
            for info in self._archive.infolist():
                tensors[info.filename.removesuffix(ENDING)] = self._header(info)
        except BadWeightsFileError:
            self.close()
            raise
        super().__init__(path, tensors)

    def read(self, name: str) -> np.ndarray:
        info = self.tensors[name]
        try:
            # The lengths were compared when it was opened, so that this cannot
            # unpack to more than the array that the header describes.
            with self._archive.open(f"{name}{ENDING}") as member:
                return npy.read_array(member, allow_pickle=False)
        except UNREADABLE as error:
            raise BadWeightsFileError(
                f"{self.path}: {name} {info.shape} cannot be read ({error})."
            ) from error

    def close(self) -> None:
        self._archive.close()

    def _header(self, info: zipfile.ZipInfo) -> TensorInfo:
        try:
            with self._archive.open(info) as member:
                shape, dtype, length = _read_header(member)
        except UNREADABLE as error:
            raise BadWeightsFileError(
                f"{self.path}: {info.filename} is not a numpy array ({error})."
            ) from error
        numbers = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if dtype.hasobject:
            raise BadWeightsFileError(
                f"{self.path}: {info.filename} holds Python objects, not numbers."
            )
        if length + numbers != info.file_size or min(shape, default=0) < 0:
            raise BadWeightsFileError(
                f"{self.path}: {info.filename} says that it has shape {shape}, which "
                f"does not fit its {info.file_size:,} bytes."
            )
        return TensorInfo(shape, dtype)


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, int]:
    """Returns shape, dtype and the header's own length."""
    version = npy.read_magic(member)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format is not known")
    shape, _, dtype = _HEADERS[version](member)
    return shape, dtype, member.tell()
