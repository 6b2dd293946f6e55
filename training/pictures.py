"""Reads picture files, and checks them before training: every one is decoded once.

What training reads is `keras_convnext.image.decode`, so that is what a file must
pass. A few kinds of file it cannot read Pillow can: TIFF, AVIF, BMP with run lengths.
Of those a plain PNG copy is made, once, and read instead.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_convnext import image_files

from . import decoding
from .data_error import DataError


@dataclass(frozen=True)
class Picture:
    """What the check found out about one file.

    Attributes:
        path: The file.
        readable: What training reads: the file itself, or the copy of it.
        way: How it is read, of those in `decoding`.
        problem: Why it cannot be used; empty where it can.
        is_black: Whether all that it shows is black, as its file says.
    """

    path: Path
    readable: Path
    way: int = decoding.GENERAL
    problem: str = ""
    is_black: bool = False


def check(paths: Sequence[Path], copies: Path) -> Iterator[Picture]:
    """Decodes every file, in threads.

    Args:
        paths: The files.
        copies: Folder for the copies of what only Pillow reads.

    Yields:
        One answer for each file, in their order.

    Raises:
        DataError: A copy cannot be written.
    """
    with warnings.catch_warnings():
        # Pillow warns of what is read all the same, such as odd EXIF notes.
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            try:
                yield from pool.map(lambda path: _checked(path, copies), paths)
            finally:
                pool.shutdown(cancel_futures=True)


def _checked(path: Path, copies: Path) -> Picture:
    if problem := image_files.named_problem(path):
        return Picture(path, path, problem=problem)
    try:
        contents = path.read_bytes()
        seen, is_plain = image_files.decode_file(contents)
    except OSError as error:
        return Picture(path, path, problem=error.strerror or str(error))
    except image_files.Unreadable as error:
        return Picture(path, path, problem=str(error))
    is_black = not seen.any()
    if is_plain:
        way = int(decoding.way_by_headers(tf.constant(contents)))
        return Picture(path, path, way, is_black=is_black)
    copy = _copied(seen, contents, copies)
    return Picture(path, copy, decoding.UPRIGHT_PNG, is_black=is_black)


def _copied(seen: np.ndarray, contents: bytes, copies: Path) -> Path:
    """Returns the copy of a file, which is made where there is none yet."""
    name = hashlib.sha256(contents).hexdigest()[:32]
    copy = copies / f"{name}.png"
    if not copy.exists():
        _write_copy(Image.fromarray(seen), copy)
    return copy


def _write_copy(pixels: Image.Image, copy: Path) -> None:
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(suffix=".png", dir=copy.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                pixels.save(file, "PNG", compress_level=1)
            os.replace(temporary, copy)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DataError(
            f"No copy of a picture can be written to {copy.parent}: {error}. "
            "Set XDG_CACHE_HOME to a folder that can be written to."
        ) from error
