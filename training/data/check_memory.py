"""What the check found out about image files, kept until a file changes.

A file counts as unchanged while its size and its times of writing and of change are the
same, and while the decoders are of the same versions.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import PIL
import tensorflow as tf

import keras_convnext
from keras_convnext import _files
from keras_convnext._files import AnyPath

from .image_files import CheckedImage, Stamp, copy_of, stamp_of

# The number rises whenever the check decides something anew.
_DECIDED_BY = [
    1,
    *(keras_convnext.__version__, tf.__version__, PIL.__version__),
    # Without it HEIC is refused, and with it read.
    importlib.util.find_spec("pillow_heif") is not None,
]


def place_for(root: Path, folder: Path) -> Path:
    """Returns the file that keeps what is known about the images under a root.

    Args:
        root: The data folder.
        folder: Holds such a file for each data folder.
    """
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]
    return folder / f"{name}.json"


def read(
    place: Path, paths: Iterable[AnyPath], copies: Path
) -> dict[AnyPath, CheckedImage]:
    """Returns the stored results of files that have not changed since.

    Args:
        place: From `place_for`; a missing or a damaged file knows nothing.
        paths: The files of interest.
        copies: Folder for the copies of what only Pillow reads.
    """
    try:
        known = {}
        for path, (stamp, row) in read_rows(place, paths).items():
            digest, is_copied, way, problem, remark = row
            readable = copy_of(digest, copies) if is_copied else path
            if not is_copied or os.path.exists(readable):
                known[path] = CheckedImage(
                    path, readable, way, problem, remark, digest, stamp
                )
        return known
    except (OSError, ValueError, TypeError):
        return {}


def read_rows(
    place: Path, paths: Iterable[AnyPath]
) -> dict[AnyPath, tuple[Stamp, Sequence[Any]]]:
    """Returns the stamp and the row of each file that has not changed since.

    Args:
        place: From `place_for`; a missing or a damaged file knows nothing.
        paths: The files of interest.
    """
    try:
        kept = json.loads(place.read_text(encoding="ascii"))
        rows = kept["files"] if kept["decided_by"] == _DECIDED_BY else {}
        known = {}
        for path in paths:
            if (found := rows.get(_key(path))) is None:
                continue
            stamp = Stamp(*found[0])
            if stamp == stamp_of(path):
                known[path] = (stamp, found[1:])
        return known
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def write(place: Path, images: Iterable[CheckedImage]) -> None:
    """Keeps what was found out; where nothing can be written, nothing is kept.

    Args:
        place: From `place_for`.
        images: Answers of the check. Files that could not be opened are left out.
    """
    rows = {
        str(image.path): (
            image.stamp,
            image.digest,
            image.readable != image.path,
            image.way,
            image.problem,
            image.remark,
        )
        for image in images
        if image.stamp is not None and not image.is_suspect
    }
    write_rows(place, rows)


def write_rows(place: Path, rows: Mapping[AnyPath, Sequence[Any]]) -> None:
    """Keeps rows; where nothing can be written, nothing is kept.

    Args:
        place: From `place_for`.
        rows: Of each file its stamp, and what JSON holds.
    """
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        files = {_key(path): row for path, row in rows.items()}
        text = json.dumps({"decided_by": _DECIDED_BY, "files": files})
        _files.write_text(place, text)


def _key(path: Path | str) -> str:
    # A name that is not UTF-8 cannot be written as text.
    return os.fsencode(os.path.join(os.getcwd(), path)).decode("latin-1")
