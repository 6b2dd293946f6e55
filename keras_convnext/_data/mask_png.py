"""Reads masks: PNG files whose pixels are numbers, not colors."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

# Bits a sample, at their place in a PNG's header.
BITS_AT = 24
_COLORS_AT = 25
_GRAY = 0
_ADVICE = (
    "a mask holds the number of a class a pixel: save one channel of numbers (gray or "
    "palette PNG), not the colors they are shown in"
)


class UnreadableMask(ValueError):
    """A file holds no numbers of classes; the text says why."""


def read_size(contents: bytes) -> tuple[int, int]:
    """Returns height and width, without decoding.

    Raises:
        UnreadableMask: It is no PNG file.
    """
    with _opened(contents) as image:
        return image.height, image.width


def is_plain(contents: bytes) -> bool:
    """Returns True if a PNG's samples are its numbers: gray, of 8 or of 16 bits."""
    return contents[_COLORS_AT] == _GRAY and contents[BITS_AT] in (8, 16)


def read_numbers(contents: bytes) -> np.ndarray:
    """Returns the numbers of a PNG: gray levels as stored, or places in its palette.

    Args:
        contents: The file. Of 1, 2 or 4 bits, too, whose levels other readers stretch
            to 0..255. Colors are refused, but for three channels that are the same.

    Returns:
        uint8 or uint16 `(height, width)`.

    Raises:
        UnreadableMask: It is no PNG file, damaged, or holds colors.
    """
    with _opened(contents) as image:
        try:
            pixels = np.asarray(image)
        # Pillow lets through whatever its decoders raise.
        except Exception as error:
            raise UnreadableMask("is damaged") from error
        mode = image.mode
    if mode in ("1", "P"):
        return pixels.astype(np.uint8)
    if mode == "L":
        steps = 2 ** min(contents[BITS_AT], 8) - 1
        return pixels // np.uint8(255 // steps)
    if mode.startswith("I"):
        return pixels.astype(np.uint16)
    if mode == "RGB" and (pixels == pixels[..., :1]).all():
        return np.ascontiguousarray(pixels[..., 0])
    raise UnreadableMask(f"holds colors ({mode}); {_ADVICE}")


def _opened(contents: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(contents), formats=("PNG",))
    except UnidentifiedImageError as error:
        raise UnreadableMask("is not a PNG file") from error
    except Image.DecompressionBombError as error:
        raise UnreadableMask("is too large") from error
    except Exception as error:
        raise UnreadableMask("is damaged") from error
