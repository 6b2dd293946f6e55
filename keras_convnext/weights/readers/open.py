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
from keras_convnext.weights.readers.npz import ENDING as NPY_ENDING
from keras_convnext.weights.readers.npz import NpzFile
from keras_convnext.weights.readers.safetensors import SafetensorsFile
from keras_convnext.weights.readers.shards import INDEX_ENDINGS, ShardedFile
from keras_convnext.weights.readers.torch import (
    PICKLE,
    open_torch_legacy,
    open_torch_zip,
)
from keras_convnext.weights.tensor_file import TensorFile

Opener = Callable[[Path], TensorFile]


def _open_zip(path: Path) -> TensorFile:
    with open_archive(path) as archive:
        names = set(archive.namelist())
    if {CONFIGURATION, STORE} <= names:
        return KerasArchive(path)
    if any(name.split("/")[-1] == PICKLE for name in names):
        return open_torch_zip(path)
    if names and all(name.endswith(NPY_ENDING) for name in names):
        return NpzFile(path)
    raise BadWeightsFileError(
        f"{path} is a zip file, but not one that Keras, torch or numpy writes weights "
        f"to; it holds {', '.join(sorted(names)[:3])}."
    )


# First bytes and the reader that they call for.
_FORMATS: tuple[tuple[bytes, Opener], ...] = (
    (b"\x89HDF\r\n\x1a\n", Hdf5File),
    (b"PK\x03\x04", _open_zip),
    # A pickle: of protocol 2 unless somebody asked torch for another.
    *((bytes([0x80, protocol]), open_torch_legacy) for protocol in (2, 3, 4, 5)),
)
_FIRST_BYTES = 16
# The first of which there is one counts.
_IN_FOLDERS = (
    "*.safetensors.index.json",
    "*.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# safetensors has no magic: the length of its header, then the header, in JSON.
_SAFETENSORS_BRACE_AT = 8


def open_tensors(path: Path) -> TensorFile:
    """Opens a weights file for reading.

    Raises:
        BadWeightsFileError: It is missing, empty, damaged or of no known format.
    """
    if path.is_dir():
        path = _index_in(path)
    if not path.is_file():
        raise BadWeightsFileError(f"{path} is not a file.")
    if path.name.endswith(INDEX_ENDINGS):
        return ShardedFile(path, _open_file)
    return _open_file(path)


def _open_file(path: Path) -> TensorFile:
    """Opens a file that holds its tensors itself."""
    with path.open("rb") as file:
        start = file.read(_FIRST_BYTES)
    brace = start[_SAFETENSORS_BRACE_AT : _SAFETENSORS_BRACE_AT + 1]
    try:
        for magic, opener in _FORMATS:
            if start.startswith(magic):
                return opener(path)
        if brace == b"{" or path.suffix == ".safetensors":
            return SafetensorsFile(path)
    except BadWeightsFileError:
        raise
    # Whoever damaged a file may have thought of what no reader here did.
    except Exception as error:
        raise BadWeightsFileError(f"{path} is damaged ({error!r}).") from error
    raise BadWeightsFileError(
        f"{path} is in none of the formats that can be read (safetensors, torch .pth "
        f"and .pt, Keras .h5, .weights.h5 and .keras, .npz): it begins with "
        f"{start[:8]!r}."
    )


def _index_in(folder: Path) -> Path:
    """Returns the file in a folder that Hugging Face's `save_pretrained` wrote."""
    for pattern in _IN_FOLDERS:
        found = sorted(folder.glob(pattern))
        if len(found) == 1:
            return found[0]
    raise BadWeightsFileError(
        f"{folder} is a folder without one weights file in it "
        f"({', '.join(_IN_FOLDERS[:-1])} or {_IN_FOLDERS[-1]})."
    )
