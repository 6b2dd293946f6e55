"""Reads picture files, and checks them before training: every one is decoded once.

What training reads is `keras_convnext.image.decode`, so that is what a file must
pass. A few kinds of file it cannot read Pillow can: TIFF, AVIF, BMP with run lengths.
Of those a plain PNG copy is made, once, and read instead.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_convnext import image

from . import decoding
from .data_error import DataError

# What cameras write beside their JPEGs. As TIFF it would be read, and be a thumbnail.
RAW_SUFFIXES = frozenset({".cr2", ".nef", ".arw", ".dng"})

# By these endings a file is taken for a picture, whatever the case of the letters.
# The last ones are here to be named as unreadable rather than passed over in silence.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp"}
    | {".gif", ".tif", ".tiff", ".avif", ".ico", ".ppm", ".pgm"}
    | {".heic", ".heif", ".jxl", ".jp2"}
    | RAW_SUFFIXES
)

# What TensorFlow cannot read of these is damaged, even where Pillow, which does not
# look at checksums and fills up with black, makes something of it.
_FINAL = frozenset({"JPEG", "MPO", "PNG"})

# What telephones write, from the fifth byte on; Pillow reads none of it.
_HEIC = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1")


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


def named_problem(path: Path) -> str:
    """Returns why no file of that name can be used; empty where some can."""
    if path.suffix.lower() in RAW_SUFFIXES:
        return "a raw file of a camera, which is not read here; save it as JPEG"
    return ""


def _checked(path: Path, copies: Path) -> Picture:
    if problem := named_problem(path):
        return Picture(path, path, problem=problem)
    try:
        seen, way = _decoded(path.read_bytes())
    except OSError as error:
        return Picture(path, path, problem=error.strerror or str(error))
    except Unreadable as error:
        return Picture(path, path, problem=str(error))
    is_black = not seen.any()
    if way is not None:
        return Picture(path, path, way, is_black=is_black)
    copy = _copied(seen, path.read_bytes(), copies)
    return Picture(path, copy, decoding.UPRIGHT_PNG, is_black=is_black)


class Unreadable(ValueError):
    """A picture cannot be used; the text says why, and not which."""


def pixels(contents: bytes) -> np.ndarray:
    """Returns what training would see of a file: the whole picture, upright.

    Args:
        contents: The file.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        Unreadable: It is no picture, damaged, too large, or shows nothing.
    """
    seen, _ = _decoded(contents)
    return seen


def _decoded(contents: bytes) -> tuple[np.ndarray, int | None]:
    """Returns the pixels of a file, and how it is read again; None if by Pillow."""
    if not contents:
        raise Unreadable("the file is empty")
    try:
        decoded, way = decoding.inspected(contents)
    except tf.errors.OpError:
        return _second_opinion(contents), None
    seen = decoded.numpy()
    if (seen == seen[0, 0]).all() and (problem := _colourless(contents)):
        raise Unreadable(problem)
    return seen, int(way)


def _colourless(contents: bytes) -> str:
    """Returns a problem where a picture of one colour shows something in other ways."""
    try:
        with Image.open(io.BytesIO(contents)) as opened:
            opened.load()
            if opened.mode.startswith("I;16"):
                lowest, highest = opened.getextrema()
                if lowest != highest:
                    return (
                        "of its 16 bits the upper 8, which are used, are the same "
                        "throughout; save it with 8"
                    )
            alpha = np.asarray(opened.convert("RGBA"))[:, :, 3]
    # Pillow lets through whatever its many decoders raise.
    except Exception:
        return ""
    if (alpha == alpha[0, 0]).all():
        return ""
    return (
        "all that it shows is in its transparency, which is not used; "
        "save it on a background"
    )


def _second_opinion(contents: bytes) -> np.ndarray:
    """Has Pillow read what TensorFlow cannot."""
    try:
        seen, kind = _decoded_by_pillow(contents)
    # Pillow lets through whatever its many decoders raise.
    except Exception as error:
        if contents[4:12] in _HEIC:
            raise Unreadable("HEIC, which is not read here; save it as JPEG") from error
        raise Unreadable(_reason(error)) from error
    if kind in _FINAL:
        raise Unreadable("damaged (its data are inconsistent)")
    return np.asarray(seen)


def _copied(seen: np.ndarray, contents: bytes, copies: Path) -> Path:
    """Returns the copy of a file, which is made where there is none yet."""
    name = hashlib.sha256(contents).hexdigest()[:32]
    copy = copies / f"{name}.png"
    if not copy.exists():
        _write_copy(Image.fromarray(seen), copy)
    return copy


def _decoded_by_pillow(contents: bytes) -> tuple[Image.Image, str | None]:
    """Returns the first frame, upright, as RGB, and the format of the file.

    The rules are those of `image.decode`.

    Raises:
        Exception: Of any kind: the picture is damaged, not known or too large.
    """
    with Image.open(io.BytesIO(contents)) as opened:
        width, height = opened.size
        if width * height > image.MAX_PIXELS:
            raise Image.DecompressionBombError(f"{width} x {height} pixels")
        if opened.mode in ("F", "I"):
            raise ValueError(
                "its brightness has no known range (32 bits); save it with 8 or 16"
            )
        turned = ImageOps.exif_transpose(opened)
        if turned.mode.startswith("I;16"):
            # Pillow would cut everything above 255 off.
            grey = (np.asarray(turned) >> 8).astype(np.uint8)
            turned = Image.fromarray(grey)
        return turned.convert("RGB"), opened.format


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


def _reason(error: Exception) -> str:
    """Returns what Pillow's complaint means, without the path that it repeats."""
    if isinstance(error, Image.DecompressionBombError):
        # Pillow names the size, and then a limit of its own.
        size = str(error).partition(" exceeds")[0].removeprefix("Image size ")
        return (
            f"it has more than the {image.MAX_PIXELS // 10**6} million pixels that "
            f"are unpacked: {size.strip('()')}"
        )
    if isinstance(error, UnidentifiedImageError):
        return "not a picture, or of a kind that cannot be read"
    return f"damaged ({str(error) or type(error).__name__})"
