"""Reads image files as training does: TensorFlow's decoders first, then Pillow.

`keras_convnext.image.decode` is what exported signatures and training read with. A few
kinds of file that it cannot read Pillow can: TIFF, AVIF, BMP with run lengths.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_convnext import image

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


def named_problem(path: Path) -> str:
    """Returns why no file of that name can be used; empty where some can."""
    if path.suffix.lower() in RAW_SUFFIXES:
        return "a raw file of a camera, which is not read here; save it as JPEG"
    return ""


class Unreadable(ValueError):
    """A picture cannot be used; the text says why, and not which."""


def read_pixels(contents: bytes) -> np.ndarray:
    """Returns the whole image of a file, upright.

    Args:
        contents: The file.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        Unreadable: It is no image, damaged, too large, or shows nothing.
    """
    pixels, _ = decode_file(contents)
    return pixels


# Its graph is built once, not for every file.
decode = tf.function(
    lambda contents: image.decode(contents),
    input_signature=[tf.TensorSpec((), tf.string)],
)


def decode_file(contents: bytes) -> tuple[np.ndarray, bool]:
    """Returns the pixels of a file, and whether `image.decode` reads it, too.

    Args:
        contents: The file.

    Returns:
        uint8 `(height, width, 3)`; and False where only Pillow reads such a file.

    Raises:
        Unreadable: It is no image, damaged, too large, or shows nothing.
    """
    if not contents:
        raise Unreadable("the file is empty")
    try:
        pixels = decode(contents).numpy()
    except tf.errors.OpError:
        return _second_opinion(contents), False
    if (pixels == pixels[0, 0]).all() and (problem := _colourless(contents)):
        raise Unreadable(problem)
    return pixels, True


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
