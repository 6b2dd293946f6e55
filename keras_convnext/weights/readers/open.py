"""Tells a file's format by its first bytes, whatever it is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from keras_convnext.weights.errors import BadWeightsFileError
from keras_convnext.weights.readers.archives import open_archive
from keras_convnext.weights.readers.hdf5 import Hdf5File
from keras_convnext.weights.readers.keras_archive import (
    CONFIGURATION,
    STORE,
    KerasArchive,
)
from keras_convnext.weights.tensor_file import TensorFile

Opener = Callable[[Path], TensorFile]


def _open_zip(path: Path) -> TensorFile:
    with open_archive(path) as archive:
        names = set(archive.namelist())
    if {CONFIGURATION, STORE} <= names:
        return KerasArchive(path)
    raise BadWeightsFileError(
        f"{path} is a zip file, but not one that Keras, torch or numpy writes weights "
        f"to; it holds {', '.join(sorted(names)[:3])}."
    )


# First bytes and the reader that they call for.
_FORMATS: tuple[tuple[bytes, Opener], ...] = (
    (b"\x89HDF\r\n\x1a\n", Hdf5File),
    (b"PK\x03\x04", _open_zip),
)
_FIRST_BYTES = 16


def open_tensors(path: Path) -> TensorFile:
    """Opens a weights file for reading.

    Raises:
        BadWeightsFileError: It is missing, empty, damaged or of no known format.
    """
    if not path.is_file():
        raise BadWeightsFileError(f"{path} is not a file.")
    with path.open("rb") as file:
        start = file.read(_FIRST_BYTES)
    for magic, opener in _FORMATS:
        if start.startswith(magic):
            return opener(path)
    raise BadWeightsFileError(
        f"{path} is in none of the formats that can be read (safetensors, torch .pth "
        f"and .pt, Keras .h5, .weights.h5 and .keras, .npz): it begins with "
        f"{start[:8]!r}."
    )
