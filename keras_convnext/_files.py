"""Files: written whole or not at all, found by their endings, kept in a cache."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

# Paths as they were given: many are text, which is made and compared faster.
AnyPath = TypeVar("AnyPath", str, Path)
PARTIAL_SUFFIX = ".partial"
# How many of a long list of names a message shows.
_SHOWN = 5
# Not by people.
_MADE_BY_SYSTEMS = frozenset({"thumbs.db", "desktop.ini", "__macosx"})

# What cameras write beside their JPEGs. As TIFF it would be read, and be a thumbnail.
RAW_SUFFIXES = frozenset({".cr2", ".nef", ".arw", ".dng"})

# By these endings a file is taken for an image, whatever the case of the letters.
# The last ones are here to be named as unreadable rather than passed over in silence.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp"}
    | {".gif", ".tif", ".tiff", ".avif", ".ico", ".ppm", ".pgm"}
    | {".heic", ".heif", ".jxl", ".jp2"}
    | RAW_SUFFIXES
)


def is_image(path: Path | str) -> bool:
    """Returns True if a file is named as images are."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """Returns True for names that begin with a dot, and those that systems make."""
    return name.startswith(".") or name.lower() in _MADE_BY_SYSTEMS


def first_few(names: Iterable[object], separator: str = ", ") -> str:
    """Returns the first few names, and how many more there are."""
    legible_names = [legible(name) for name in names]
    shown = legible_names[:_SHOWN]
    if len(legible_names) > _SHOWN:
        shown.append(f"and {len(legible_names) - _SHOWN} more")
    return separator.join(shown)


def cache_home() -> Path:
    """Returns the project's folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "keras_convnext"


def legible(name: object) -> str:
    """Returns a file's name as text that can be printed; it may not be UTF-8."""
    return os.fsencode(str(name)).decode("utf-8", "backslashreplace")


def why_no_folder(path: Path) -> str:
    """Returns what to say of a path that is no folder."""
    return "is a file, not a folder" if path.exists() else "does not exist"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a name to write to; the file gets its real name when all went well.

    The data is on the disk before the name is, so that a power cut leaves the
    old file or the new one. On an error nothing is left.

    Args:
        path: Where the file is to appear; an older one there is replaced.

    Yields:
        A path in the same folder that ends like `path` does, because some
        writers choose their format by the ending.

    Raises:
        OSError: It cannot be written; its `filename` is `path`.
    """
    partial = path.with_name(f".{path.stem}{PARTIAL_SUFFIX}{path.suffix}")
    try:
        yield partial
        _flush(partial)
        os.replace(partial, path)
        _flush(path.parent)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file with a line for each entry, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def remove_partial(folder: Path) -> None:
    """Removes what a killed process may have left half-written in `folder`."""
    for leftover in folder.glob(f".*{PARTIAL_SUFFIX}*"):
        leftover.unlink(missing_ok=True)
