"""Zip and tar files whose members are read in place, as if they were folders.

A path goes on inside of an archive: `photos.zip/roses/1.jpg`. The functions here take
paths in archives and ordinary ones alike.
"""

from __future__ import annotations

import functools
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import filterfalse
from pathlib import Path

from keras_convnext._data import zip_members
from keras_convnext._data.archive_member import Member
from keras_convnext._data.data_error import DataError
from keras_convnext._data.tar_members import read_members as read_tar
from keras_convnext._files import first_few, is_hidden, legible, why_no_folder

_READERS = {".zip": zip_members.read_members, ".tar": read_tar}
SUFFIXES = tuple(_READERS)
# Archives that are kept open for reading: one index each.
_KEPT = 8


@dataclass(frozen=True, eq=False)
class Archive:
    """What an archive holds.

    Attributes:
        path: The file.
        stamp: Its size in bytes, and when it was written and changed in nanoseconds.
        members: Its files by name, "roses/1.jpg".
        folders: The names of the folders in each folder, which "" is the whole of.
        files: The names of the files in each folder.
    """

    path: Path
    stamp: tuple[int, int, int]
    members: dict[str, Member]
    folders: dict[str, list[str]]
    files: dict[str, list[str]]

    def read(self, name: str) -> bytes:
        """Returns the contents of a file.

        Raises:
            OSError: There is none of that name, or it is damaged.
        """
        member = self.members.get(name)
        if member is None:
            raise FileNotFoundError(f"there is no {legible(name)} in {self.path}")
        with self.path.open("rb") as file:
            start = member.start
            if member.has_header:
                start = zip_members.skip_header(file, start)
            file.seek(start)
            packed = file.read(member.packed_bytes)
        try:
            contents = _unpack(packed, member.bytes) if member.is_packed else packed
        except zlib.error as error:
            raise OSError(f"damaged in {self.path} ({error})") from error
        is_whole = len(contents) == member.bytes
        if not is_whole or member.crc not in (None, zlib.crc32(contents)):
            raise OSError(f"damaged in {self.path} (its checksum differs)")
        return contents


def _unpack(packed: bytes, size: int) -> bytes:
    """Returns what deflate has packed; no more than a byte over what it should be."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)


@dataclass(frozen=True)
class _Place:
    """A path inside of an archive: its name there is "" for the archive itself."""

    archive: Archive
    name: str


def read_bytes(path: Path | str) -> bytes:
    """Returns the contents of a file, in an archive or not.

    Raises:
        OSError: There is none, or it cannot be read.
    """
    place = _find(path)
    if place is None or not place.name:
        return Path(path).read_bytes()
    return place.archive.read(place.name)


def stamp_of(path: Path | str) -> tuple[int, int, int]:
    """Returns a file's size in bytes, and when it was written and changed, in ns.

    The times of a file in an archive are those of the archive.

    Raises:
        OSError: There is no such file.
    """
    place = _find(path)
    if place is None or not place.name:
        found = os.stat(path)
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns
    member = place.archive.members.get(place.name)
    if member is None:
        raise FileNotFoundError(f"there is no {legible(path)}")
    return member.bytes, *place.archive.stamp[1:]


def is_file(path: Path) -> bool:
    """Returns True for a file, in an archive or not."""
    place = _find(path)
    if place is None or not place.name:
        return path.is_file()
    return place.name in place.archive.members


def is_folder(path: Path) -> bool:
    """Returns True for a folder, for one in an archive, and for an archive."""
    place = _find(path)
    return path.is_dir() if place is None else place.name in place.archive.folders


def may_be_inside(path: str | bytes) -> bool:
    """Returns True if a path goes on after the ending of an archive."""
    text = os.fsdecode(path).lower()
    return any(f"{suffix}/" in text for suffix in SUFFIXES)


def open_folder(named: str) -> Path:
    """Returns a data folder, or the folder in an archive that holds the data.

    In an archive a folder that is all alone, and has folders itself, is passed over:
    people pack `photos/`, and mean what is in it.

    Args:
        named: A folder, an archive, or a folder in one.

    Raises:
        DataError: There is none, or the archive cannot be used.
    """
    path = Path(named).expanduser()
    place = _find(path)
    if place is None:
        if not path.is_dir():
            raise DataError(f"The data folder {path} {why_no_folder(path)}.")
        return path
    archive, name = place.archive, place.name
    if name not in archive.folders:
        raise DataError(f"There is no folder {legible(name)} in {archive.path}.")
    while True:
        inner = [one for one in archive.folders[name] if not is_hidden(one)]
        below = _joined(name, inner[0]) if len(inner) == 1 else name
        if below == name or not archive.folders[below]:
            return archive.path / name
        name = below


def names_in(folder: Path) -> tuple[list[str], list[str]] | None:
    """Returns the names of folders and files in a folder of an archive.

    Outside of archives it returns None.
    """
    place = _find(folder)
    if place is None:
        return None
    archive = place.archive
    return archive.folders.get(place.name, []), archive.files.get(place.name, [])


def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yields a folder and those in it, as os.walk does: in an archive or not.

    Links to folders are followed, and those are passed over whose names are removed.

    Yields:
        The path of a folder, names of folders in it, and paths of its files.

    Raises:
        OSError: A folder cannot be read.
    """
    place = _find(folder)
    if place is None:
        yield from _walk_disk(str(folder))
        return
    pending = [place.name]
    while pending:
        name = pending.pop()
        folders = list(place.archive.folders.get(name, ()))
        whole = str(place.archive.path / name)
        files = [f"{whole}/{file}" for file in place.archive.files[name]]
        yield whole, folders, files
        pending += [_joined(name, inner) for inner in folders]


def _walk_disk(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
    with os.scandir(folder) as found:
        entries = list(found)
    # They know their paths: to join a folder and a name takes as long as to find it.
    files = [entry.path for entry in filterfalse(os.DirEntry.is_dir, entries)]
    folders: list[str] = []
    if len(files) < len(entries):
        folders = [entry.name for entry in entries if entry.is_dir()]
    yield folder, folders, files
    for name in folders:
        yield from _walk_disk(os.path.join(folder, name))


def _find(path: Path | str) -> _Place | None:
    """Returns the archive that a path leads to or into, and the name inside of it."""
    text = str(path).lower()
    if not any(suffix in text for suffix in SUFFIXES):
        return None
    path = Path(path)
    for outer in (path, *path.parents):
        if outer.suffix.lower() in SUFFIXES and outer.is_file():
            found = outer.stat()
            stamp = found.st_size, found.st_mtime_ns, found.st_ctime_ns
            name = path.relative_to(outer).as_posix()
            return _Place(_opened(outer, stamp), "" if name == "." else name)
    return None


@functools.lru_cache(maxsize=_KEPT)
def _opened(path: Path, stamp: tuple[int, int, int]) -> Archive:
    try:
        listed = list(_READERS[path.suffix.lower()](path, stamp[0]))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    named = [(_clean(name), member) for name, member in listed]
    outside = [name for name, _ in named if name.startswith("/") or _leads_up(name)]
    if outside:
        raise DataError(
            f"{path} holds {len(outside):,} names that lead outside of it: "
            f"{first_few(outside)}. Pack it again, from inside the folder."
        )
    members = dict(named)
    if len(members) < len(named):
        counts = Counter(name for name, _ in named)
        twice = [name for name, count in counts.items() if count > 1]
        raise DataError(
            f"{path} holds {len(twice):,} names more than once: {first_few(twice)}. "
            "Pack it again."
        )
    if not members:
        raise DataError(f"{path} is empty: it holds no files.")
    return Archive(path, stamp, members, *_as_tree(members))


def _as_tree(names: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Returns the names of the folders and of the files in each folder."""
    folders: dict[str, list[str]] = {"": []}
    files: dict[str, list[str]] = {"": []}
    for name in names:
        folder, _, last = name.rpartition("/")
        if folder not in files:
            for inner in _chain(folder):
                if inner not in folders:
                    outer, _, own = inner.rpartition("/")
                    folders[outer].append(own)
                    folders[inner], files[inner] = [], []
        files[folder].append(last)
    return folders, files


def _chain(folder: str) -> Iterator[str]:
    """Yields the folders that lead to one, the outermost first, and itself."""
    for end, character in enumerate(folder):
        if character == "/":
            yield folder[:end]
    yield folder


def _clean(name: str) -> str:
    """Returns a name without "." and double slashes, as a path has it."""
    if "//" not in name and "./" not in name:
        return name
    root = "/" if name.startswith("/") else ""
    return root + "/".join(part for part in name.split("/") if part not in ("", "."))


def _leads_up(name: str) -> bool:
    return ".." in name and ".." in name.split("/")


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
