"""Reads how large an image file is once it stands upright, without decoding it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

_ORIENTATION_TAG = 0x0112
# Of the EXIF orientations these change the sides.
_TURNED = (5, 6, 7, 8)


def read_upright_size(path: Path) -> tuple[tuple[int, int], bool]:
    """Returns height and width of an image as it is decoded, and if it is turned.

    Raises:
        OSError: There is no such file, or Pillow does not read it. Pillow lets through
            whatever else its readers raise.
    """
    with Image.open(path) as image:
        is_turned = image.getexif().get(_ORIENTATION_TAG) in _TURNED
        width, height = image.size
    return ((width, height) if is_turned else (height, width)), is_turned
