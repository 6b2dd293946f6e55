"""Opens zip files from strangers: .keras, .npz and torch's own."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from keras_convnext.weights.errors import BadWeightsFileError
from keras_convnext.weights.tensor_file import MOST_TENSORS

# What reading a damaged member can raise; an unknown compression among it.
UNREADABLE = (
    KeyError,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)

_LOCAL_HEADER_BYTES = 30
_NAME_LENGTHS_AT = 26


def open_archive(path: Path) -> zipfile.ZipFile:
    """Opens a zip file and looks through its list of members.

    Nothing is ever unpacked to disk; a member whose name leads out of the archive is
    refused all the same, because whoever wrote it meant harm.

    Raises:
        BadWeightsFileError: It is damaged, or its list of members is.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BadWeightsFileError(
            f"{path} cannot be read as a zip file ({error}); it is damaged or was not "
            "fetched whole."
        ) from error
    names = archive.namelist()
    problem = None
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if name.startswith("/") or ".." in parts or ":" in name:
            problem = f"has a member {name!r} that leads out of it"
    if len(names) > 2 * MOST_TENSORS:
        problem = f"has {len(names):,} members"
    if len(set(names)) != len(names):
        problem = "has several members of the same name"
    if any(info.flag_bits & 1 for info in archive.infolist()):
        problem = "is encrypted"
    if problem:
        archive.close()
        raise BadWeightsFileError(f"{path} {problem}; it is not a weights file.")
    return archive


def stored_at(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Returns the offset of an uncompressed member's bytes in the file.

    Raises:
        BadWeightsFileError: It is compressed, or not where the archive says.
    """
    path = archive.filename
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise BadWeightsFileError(
            f"{path}: {info.filename} is compressed; weights are stored as they are."
        )
    assert archive.fp is not None  # open since it was made
    if info.header_offset < 0:
        raise BadWeightsFileError(f"{path}: {info.filename} is not where it should be.")
    archive.fp.seek(info.header_offset)
    header = archive.fp.read(_LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or header[:4] != b"PK\x03\x04":
        raise BadWeightsFileError(f"{path}: {info.filename} is not where it should be.")
    lengths = struct.unpack_from("<HH", header, _NAME_LENGTHS_AT)
    start: int = info.header_offset + _LOCAL_HEADER_BYTES + sum(lengths)
    archive.fp.seek(0, 2)
    if start + info.file_size > archive.fp.tell():
        raise BadWeightsFileError(f"{path}: {info.filename} is cut short.")
    return start


def read_small(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    """Returns a member's bytes, compressed or not, if they are not too many.

    Raises:
        BadWeightsFileError: It is longer than `most_bytes`, missing or damaged.
    """
    try:
        with archive.open(name) as member:
            data = member.read(most_bytes + 1)
    except UNREADABLE as error:
        raise BadWeightsFileError(f"{archive.filename}: {name}: {error}.") from error
    if len(data) > most_bytes:
        raise BadWeightsFileError(
            f"{archive.filename}: {name} unpacks to more than {most_bytes:,} bytes."
        )
    return data
