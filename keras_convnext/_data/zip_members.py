"""The files in a zip archive.

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 and 4.4.4.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from keras_convnext._data.archive_member import Member
from keras_convnext._data.data_error import DataError

_HEADER = struct.Struct("<4s22xHH")
_MAGIC = b"PK\x03\x04"
_IS_ENCRYPTED = 0x1
_IS_UTF8 = 0x800
_METHODS = {zipfile.ZIP_STORED: False, zipfile.ZIP_DEFLATED: True}
_NAMES = {9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}


def read_members(path: Path, size: int) -> Iterator[tuple[str, Member]]:
    """Yields the names of the files in a zip archive, and where they lie.

    Folders and links are passed over.

    Args:
        path: The archive.
        size: Of the archive, in bytes.

    Raises:
        DataError: It is no zip file, damaged, encrypted, or compressed in a way that
            is not read.
        OSError: It cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            infos = opened.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} is no zip file, or damaged ({error}). Copy or download it again."
        ) from error
    for info in infos:
        if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
            continue
        if info.flag_bits & _IS_ENCRYPTED:
            raise DataError(
                f"{path} is encrypted ({info.filename}). Unpack it and give the folder."
            )
        if info.compress_type not in _METHODS:
            method = _NAMES.get(info.compress_type, f"method {info.compress_type}")
            raise DataError(
                f"{path}: {info.filename} is compressed by {method}, which is not read "
                "in place. Unpack it and give the folder, or pack it again by zip -r."
            )
        if info.header_offset + info.compress_size > size:
            raise DataError(
                f"{path} is damaged: it ends before {info.filename} does. Copy or "
                "download it again."
            )
        yield (
            _name(info),
            Member(
                info.header_offset,
                info.compress_size,
                info.file_size,
                _METHODS[info.compress_type],
                info.CRC,
                has_header=True,
            ),
        )


def skip_header(file: BinaryIO, start: int) -> int:
    """Returns where the contents of a file begin whose header is at `start`.

    Raises:
        OSError: There is no header.
    """
    file.seek(start)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(_MAGIC):
        raise OSError(f"damaged in {file.name} (its header is missing)")
    _, name_bytes, extra_bytes = _HEADER.unpack(header)
    return start + _HEADER.size + int(name_bytes) + int(extra_bytes)


def _name(info: zipfile.ZipInfo) -> str:
    """Returns a file's name; many programs write UTF-8 without saying so."""
    if info.flag_bits & _IS_UTF8 or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename
