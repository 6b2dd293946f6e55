"""Images as people have them, files or arrays, to what a network is evaluated on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext.preprocessing import Preprocessing


def view_image(given: Any, preprocessing: Preprocessing) -> np.ndarray:
    """Returns an image as evaluation sees it, and `predict`.

    Args:
        given: A file's path, or what NumPy makes an array `(height, width, 3)` of, with
            values in 0..255.
        preprocessing: What the model expects.

    Returns:
        float32 `(size_px, size_px, 3)`, whole numbers in 0..255.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image.
    """
    import tensorflow as tf

    from keras_convnext.image import evaluation_view

    return np.asarray(evaluation_view(tf.constant(pixels_of(given)), preprocessing))


def is_one_image(given: Any) -> bool:
    """Returns True for an image, and False for several: a list or a batch."""
    return not isinstance(given, list | tuple) and getattr(given, "ndim", 3) < 4


def pixels_of(given: Any) -> np.ndarray:
    """Returns an image's pixels, uint8 or float32 `(height, width, 3)` in 0..255.

    Args:
        given: A file's path, or what NumPy makes such an array of.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image.
    """
    is_path = isinstance(given, str | os.PathLike)
    return read_image(Path(given)) if is_path else check_pixels(given)


def read_image(path: Path) -> np.ndarray:
    """Returns the pixels of a file, uint8 `(height, width, 3)`, upright.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image that can be used.
    """
    from keras_convnext._data import archives
    from keras_convnext.image import files as image_files

    path = path.expanduser()
    if problem := image_files.named_problem(path):
        raise ValueError(f"{path}: {problem}")
    try:
        return image_files.read_pixels(archives.read_bytes(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no file {path}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except image_files.Unreadable as error:
        raise ValueError(f"{path}: {error}") from error


def check_pixels(given: Any) -> np.ndarray:
    """Returns an image's pixels as uint8 or float32 `(height, width, 3)`.

    Raises:
        ValueError: Its shape is another, or its values are not in 0..255.
    """
    pixels = np.asarray(given)
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or 0 in pixels.shape:
        raise ValueError(
            f"an image has the shape (height, width, 3), not {pixels.shape}; "
            "PIL.Image.convert('RGB') makes three channels of any"
        )
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind not in "iuf":
        raise ValueError(f"an image is an array of numbers, not of {pixels.dtype}")
    lowest, highest = pixels.min(), pixels.max()
    # Also where there is a NaN.
    if not (lowest >= 0 and highest <= 255):
        raise ValueError(
            f"an image's values lie in 0..255, these in {lowest:g}..{highest:g}"
        )
    if pixels.dtype.kind == "f" and 0 < highest <= 1:
        raise ValueError(
            "an image's values lie in 0..255, and these all in 0..1: multiply them by "
            "255"
        )
    return pixels.astype(np.float32)
