"""Reads image files as training does: TensorFlow's decoders first, then Pillow.

`keras_convnext.image.decode` is what exported signatures and training read with. A few
kinds of file that it cannot read Pillow can: TIFF, AVIF, BMP with run lengths.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_convnext import image
from keras_convnext._files import RAW_SUFFIXES

# What TensorFlow cannot read of these is damaged, even where Pillow, which does not
# look at checksums and fills up with black, makes something of it.
_FINAL = frozenset({"JPEG", "MPO", "PNG"})

# What telephones write, from the fifth byte on; Pillow reads it by a plugin.
_HEIC = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1")


_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF_BITS = 258  # The tag BitsPerSample.
_LOWER_BITS = (
    "of its 16 bits the upper 8, which are used, are the same throughout; "
    "save it with 8"
)
# Brightest of the upper 8 bits: an image with 14 bits in 16 is below it throughout.
_DARK = 64

# What a person should know of a file that can be used: of one, and of several.
REMARKS = {
    "black": (
        "is black throughout, as the file says",
        "are black throughout, as the file says",
    ),
    "dark": (
        "uses less than a quarter of its 16 bits; the upper 8 are used, so that it is "
        "nearly black: stretch its brightness first",
        "use less than a quarter of their 16 bits; the upper 8 are used, so that they "
        "are nearly black: stretch their brightness first",
    ),
    "flawed": (
        "is damaged in a way that decoders pass over, and used as it is",
        "are damaged in a way that decoders pass over, and used as they are",
    ),
}


def named_problem(path: Path) -> str:
    """Returns why no file of that name can be used; empty where some can."""
    if path.suffix.lower() in RAW_SUFFIXES:
        return "a raw file of a camera, which is not read here; save it as JPEG"
    return ""


class Unreadable(ValueError):
    """An image cannot be used; the text says why, and not which."""


@dataclass(frozen=True)
class DecodedFile:
    """An image file that can be used.

    Attributes:
        pixels: The whole image, upright, uint8 `(height, width, 3)`.
        is_read_by_graph: Whether `image.decode` reads the file; else only Pillow does.
        remark: What a person should know of it, one of `REMARKS`; empty for most.
    """

    pixels: np.ndarray
    is_read_by_graph: bool = True
    remark: str = ""


def read_pixels(contents: bytes) -> np.ndarray:
    """Returns the whole image of a file, upright.

    Args:
        contents: The file.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        Unreadable: It is no image, damaged, too large, or shows nothing.
    """
    return decode_file(contents).pixels


# Its graph is built once, not for every file.
decode = tf.function(
    lambda contents: image.decode(contents),
    input_signature=[tf.TensorSpec((), tf.string)],
)


def decode_file(contents: bytes) -> DecodedFile:
    """Decodes a file, by TensorFlow or else by Pillow.

    Args:
        contents: The file.

    Raises:
        Unreadable: It is no image, damaged, too large, or shows nothing.
    """
    if not contents:
        raise Unreadable("the file is empty")
    try:
        pixels = decode(contents).numpy()
        found = DecodedFile(pixels)
        bits = _bits(contents)
    except tf.errors.OpError:
        pixels, bits = _second_opinion(contents)
        found = DecodedFile(pixels, is_read_by_graph=False)
    if _is_flat(pixels) and _shows_transparency_alone(contents):
        raise Unreadable(
            "all that it shows is in its transparency, which is not used; "
            "save it on a background"
        )
    if not pixels.any():
        return replace(found, remark="black")
    if bits == 16 and pixels.max() < _DARK:
        return replace(found, remark="dark")
    return found


def _is_flat(pixels: np.ndarray) -> bool:
    first = pixels[0, 0]
    # Few pixels tell of nearly every image that it is not.
    return bool((pixels[::16, ::16] == first).all() and (pixels == first).all())


def _shows_transparency_alone(contents: bytes) -> bool:
    """Returns True if the transparency of an image of one color shows something."""
    try:
        with Image.open(io.BytesIO(contents)) as opened:
            alpha = np.asarray(opened.convert("RGBA"))[:, :, 3]
    # Pillow lets through whatever its many decoders raise.
    except Exception:
        return False
    return not _is_flat(alpha)


def _second_opinion(contents: bytes) -> tuple[np.ndarray, int]:
    """Has Pillow read what TensorFlow cannot; returns pixels and bits a color."""
    # The first box of the file lists what else it is.
    if contents[4:12] in _HEIC and b"avif" not in contents[12:64]:
        _require_heif()
    try:
        seen, kind, bits = _decoded_by_pillow(contents)
    except Unreadable:
        raise
    # Pillow lets through whatever its many decoders raise.
    except Exception as error:
        raise Unreadable(_reason(error)) from error
    if kind in _FINAL:
        raise Unreadable("damaged (its data are inconsistent)")
    return np.asarray(seen), bits


def _require_heif() -> None:
    """Adds HEIC to what Pillow reads.

    Raises:
        Unreadable: The plugin is not installed.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise Unreadable(
            "HEIC, which needs pillow-heif: pip install 'keras-convnext[heif]', or "
            "save it as JPEG"
        ) from error
    register_heif_opener()


def _decoded_by_pillow(contents: bytes) -> tuple[Image.Image, str | None, int]:
    """Returns the first frame, upright, as RGB, the file's format, and bits a color.

    The rules are those of `image.decode`.

    Raises:
        Exception: Of any kind: the image is damaged, not known or too large.
    """
    with Image.open(io.BytesIO(contents)) as opened:
        width, height = opened.size
        if width * height > image.MAX_PIXELS:
            raise Image.DecompressionBombError(f"{width} x {height} pixels")
        # Of a PGM with more than 8 bits Pillow makes 0 to 65535.
        is_scaled = opened.mode == "I" and opened.format == "PPM"
        if opened.mode in ("F", "I") and not is_scaled:
            raise Unreadable(
                "its brightness has no known range (32 bits); save it with 8 or 16"
            )
        bits = _bits(contents, opened)
        turned = ImageOps.exif_transpose(opened)
        stored = np.asarray(turned)
        if turned.mode.startswith("I"):
            # Pillow would cut everything above 255 off.
            turned = Image.fromarray((stored >> 8).astype(np.uint8))
        if bits == 16 and _is_flat(np.asarray(turned)):
            # Of several colors Pillow gives the upper 8 bits alone.
            is_all_one = turned.mode == "L" and _is_flat(stored)
            if not is_all_one:
                raise Unreadable(_LOWER_BITS)
        return turned.convert("RGB"), opened.format, bits


def _bits(contents: bytes, opened: Image.Image | None = None) -> int:
    """Returns the bits of a color that a file announces: 16, or at most 8.

    Args:
        contents: The file.
        opened: What Pillow makes of it; needed for what is no PNG.
    """
    if contents.startswith(_PNG):
        return contents[24]
    if opened is None:
        return 8
    if opened.mode.startswith("I"):
        return 16
    tags: Mapping[int, Sequence[int]] = getattr(opened, "tag_v2", {})
    return max(tags.get(_TIFF_BITS, (8,)))


def _reason(error: Exception) -> str:
    """Returns the meaning of Pillow's error, without the path."""
    if isinstance(error, Image.DecompressionBombError):
        # Pillow names the size, and then a limit of its own.
        size = str(error).partition(" exceeds")[0].removeprefix("Image size ")
        return (
            f"it has more than the {image.MAX_PIXELS // 10**6} million pixels that "
            f"are unpacked: {size.strip('()')}"
        )
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or of a kind that cannot be read"
    if "unsupported" in str(error).lower():
        return f"of a kind that is not supported ({error}); save it as PNG or JPEG"
    return f"damaged ({str(error) or type(error).__name__})"
