"""Image files, encoded as an exported graph can decode them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_convnext._messages import UsageError

from .image_set import EncodedImage, ImageSet


def of_paths(
    words: str,
    paths: Sequence[Path],
    describe: Callable[[int, bytes], EncodedImage],
    skip_bad: bool = False,
) -> ImageSet:
    """Returns image files as an origin.

    Args:
        words: What they are.
        paths: Where they lie.
        describe: From a number of `paths` and the encoded image to what is known of it.
        skip_bad: Whether to leave images out that raise a ValueError, as a run may have
            done.
    """

    def read(numbers: Iterable[int]) -> list[EncodedImage]:
        found = []
        for number in numbers:
            try:
                found.append(describe(number, encode(paths[number])))
            except ValueError as error:
                if not skip_bad:
                    raise UsageError(f"{paths[number]}: {error}") from error
        return found

    return ImageSet(words, len(paths), read, paths=tuple(paths))


def encode(path: Path) -> bytes:
    """Returns a file that the exported graph can decode: itself, or a PNG of it.

    Raises:
        ValueError: It cannot be used.
    """
    from keras_convnext._data import archives
    from keras_convnext.image import files as image_files

    if problem := image_files.named_problem(path):
        raise image_files.Unreadable(problem)
    contents = archives.read_bytes(path)
    decoded = image_files.decode_file(contents)
    return contents if decoded.is_read_by_graph else to_png(decoded.pixels)


def to_png(pixels: np.ndarray) -> bytes:
    """Returns pixels as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()
