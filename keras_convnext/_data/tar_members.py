"""The files in a tar archive that is not compressed.

Python's tarfile takes three times as long for the headers.

Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"; the
manual of GNU tar, "Basic Tar Format".
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from keras_convnext._data.archive_member import Member
from keras_convnext._data.data_error import DataError

_BLOCK = 512
_END = bytes(_BLOCK)
_REGULAR = (b"0", b"\0", b"7")
_HARD_LINK, _SPARSE = b"1", b"S"
# Their contents tell the name and the link of the next file.
_LONG_NAME, _LONG_LINK, _PAX = b"L", b"K", b"x"
_PAX_SPARSE = "GNU.sparse"
# Of those that are no files these have contents, too.
_HAVE_CONTENTS = (*_REGULAR, _LONG_NAME, _LONG_LINK, _PAX, b"g")


def read_members(path: Path, size: int, first: int = 0) -> Iterator[tuple[str, Member]]:
    """Yields the names of the files in a tar archive, and where they lie.

    Hard links are files; folders, symbolic links and devices are passed over.

    Args:
        path: The archive.
        size: Of the archive, in bytes.
        first: Its first byte in the file, where that is a tar of tars.

    Raises:
        DataError: It is no tar file, compressed, or damaged.
        OSError: It cannot be read.
    """
    if not size:
        raise _not_usable(path, first)
    end = first + size
    found: dict[str, Member] = {}
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        # Headers alone are looked at: what lies between them is not to be read ahead.
        if hasattr(mmap, "MADV_RANDOM"):
            data.madvise(mmap.MADV_RANDOM)
        at = first
        said: dict[str, str] = {}
        while at < end:
            header = data[at : at + _BLOCK]
            if header == _END:
                return
            if not _is_header(header):
                raise _not_usable(path, at)
            kind = header[156:157]
            start, length = at + _BLOCK, int(said.get("size") or _number(header))
            has_contents = kind in _HAVE_CONTENTS
            at = start + (-(-length // _BLOCK) * _BLOCK if has_contents else 0)
            if has_contents and start + length > end:
                raise _not_usable(path, end)
            if kind in (_LONG_NAME, _LONG_LINK):
                key = "path" if kind == _LONG_NAME else "linkpath"
                said[key] = _text(data[start : start + length])
                continue
            if kind == _PAX:
                said |= _pax_fields(data[start : start + length])
                continue
            name = said.get("path") or _name(header)
            if kind == _SPARSE or any(key.startswith(_PAX_SPARSE) for key in said):
                raise DataError(
                    f"{path}: {name} is stored as a sparse file, which is not read in "
                    "place. Unpack it and give the folder."
                )
            if kind in _REGULAR and not name.endswith("/"):
                found[name] = Member(start, length, length)
                yield name, found[name]
            elif kind == _HARD_LINK:
                link = said.get("linkpath") or _text(header[157:257])
                if link in found:
                    yield name, found[link]
            said = {}


def _not_usable(path: Path, at: int) -> DataError:
    return DataError(
        f"{path} is no tar file without compression, or damaged (at byte {at:,}). Copy "
        "or download it again; unpack a compressed one and give the folder."
    )


def _is_header(header: bytes) -> bool:
    """Returns True if the checksum is right, in which its own bytes are spaces."""
    if len(header) < _BLOCK:
        return False
    try:
        said = int(header[148:156].strip(b"\0 ") or b"0", 8)
    except ValueError:
        return False
    return said == sum(header) - sum(header[148:156]) + 8 * ord(" ")


def _number(header: bytes) -> int:
    field = header[124:136]
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.strip(b"\0 ") or b"0", 8)
    except ValueError:
        return 0


def _name(header: bytes) -> str:
    name, prefix = _text(header[:100]), _text(header[345:500])
    is_posix = header[257:263] == b"ustar\0"
    return f"{prefix}/{name}" if is_posix and prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _pax_fields(contents: bytes) -> dict[str, str]:
    """Returns the fields of an extended header, "LENGTH KEY=VALUE" each."""
    fields = {}
    while contents:
        length, _, rest = contents.partition(b" ")
        if not length.isdigit() or int(length) <= len(length):
            break
        key, _, value = rest[: int(length) - len(length) - 1].partition(b"=")
        fields[_text(key)] = _text(value.removesuffix(b"\n"))
        contents = contents[int(length) :]
    return fields
