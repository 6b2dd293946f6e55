"""Reads image files, and checks them before training: every one is decoded once.

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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_convnext._data import archives
from keras_convnext._data.data_error import DataError
from keras_convnext._stderr import held_bytes
from keras_convnext.image import files as image_files

from . import decoding


class Stamp(NamedTuple):
    """What changes where a file changes.

    Attributes:
        size: In bytes.
        written_ns: When its contents were written, in nanoseconds.
        changed_ns: When it was changed in any way, in nanoseconds.
    """

    size: int
    written_ns: int
    changed_ns: int


@dataclass(frozen=True)
class CheckedImage:
    """What the check found out about one file.

    Attributes:
        path: The file, as it was given.
        readable: What training reads: the file itself, or the copy of it.
        way: How it is read, of those in `decoding`.
        problem: Why it cannot be used; empty where it can.
        remark: What to know of it, one of `image_files.REMARKS`; empty for most.
        digest: The same for files with the same contents; empty where unknown.
        stamp: Of the file that this was found out about; None where it was not read.
        is_suspect: Whether a decoder complained meanwhile, of it or of another file.
    """

    path: Path | str
    readable: Path | str
    way: int = decoding.GENERAL
    problem: str = ""
    remark: str = ""
    digest: str = ""
    stamp: Stamp | None = None
    is_suspect: bool = False


def stamp_of(path: Path | str) -> Stamp:
    """Returns a file's stamp.

    Raises:
        OSError: There is no such file.
    """
    return Stamp(*archives.stamp_of(path))


def check(paths: Sequence[Path], copies: Path) -> Iterator[CheckedImage]:
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


def settle(image: CheckedImage, copies: Path) -> CheckedImage:
    """Decodes a suspect file once more, alone, and gives the answer without suspicion.

    A file that a decoder complains of is read from a copy from then on, so that the
    complaint, which names no file, is not repeated in every epoch.

    Args:
        image: An answer of `check`.
        copies: As there.

    Raises:
        OSError: The file is gone.
        DataError: A copy cannot be written.
    """
    settled = replace(image, is_suspect=False)
    if image.problem or image.readable != image.path:
        return settled
    contents = archives.read_bytes(image.path)
    before = held_bytes()
    pixels = image_files.read_pixels(contents)
    if held_bytes() == before:
        return settled
    copy = _copied(pixels, image.digest, copies)
    return replace(settled, readable=copy, way=decoding.UPRIGHT_PNG, remark="flawed")


def _checked(path: Path, copies: Path) -> CheckedImage:
    if problem := image_files.named_problem(path):
        return CheckedImage(path, path, problem=problem)
    before = held_bytes()
    try:
        stamp = stamp_of(path)
        contents = archives.read_bytes(path)
    except OSError as error:
        return CheckedImage(path, path, problem=error.strerror or str(error))
    digest = hashlib.sha256(contents).hexdigest()[:32]
    seen = CheckedImage(path, path, digest=digest, stamp=stamp)
    try:
        decoded = image_files.decode_file(contents)
    except image_files.Unreadable as error:
        return replace(seen, problem=str(error))
    seen = replace(seen, remark=decoded.remark)
    if decoded.is_read_by_graph:
        way = int(decoding.way_by_headers(tf.constant(contents)))
        return replace(seen, way=way, is_suspect=held_bytes() > before)
    copy = _copied(decoded.pixels, digest, copies)
    return replace(seen, readable=copy, way=decoding.UPRIGHT_PNG)


def copy_of(digest: str, copies: Path) -> Path:
    """Returns the path of the copy of a file with that digest, if there is one."""
    return copies / f"{digest}.png"


def _copied(pixels: np.ndarray, digest: str, copies: Path) -> Path:
    """Returns the copy of a file, which is made where there is none yet."""
    copy = copy_of(digest, copies)
    if not copy.exists():
        write_copy(Image.fromarray(pixels), copy)
    return copy


def write_copy(pixels: Image.Image, copy: Path) -> None:
    """Writes the PNG file that is read instead of another one.

    Raises:
        DataError: It cannot be written.
    """
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
            f"No copy of an image can be written to {copy.parent}: {error}. "
            "Set XDG_CACHE_HOME to a folder that can be written to."
        ) from error
