"""The pictures on which an export is compared with its model."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from keras_convnext._messages import UsageError

from . import image_sets
from .image_sets import Origin, Picture
from .run_images import find_run_images

# Each picture is classified about ten times. That many of 224 px take a large model a
# minute; of smaller ones more are taken, up to a number that tells 99.9 % from all.
_PICTURES_AT_224_PX = 128
_MOST_PICTURES = 2000
_GENERATED = 16


@dataclass(frozen=True)
class Pictures:
    """Pictures and where they are from.

    Attributes:
        origin: In words.
        members: The pictures.
    """

    origin: str
    members: tuple[Picture, ...]


def decoded(picture: Picture) -> np.ndarray:
    """Returns a picture's pixels, uint8 `(height, width, 3)`.

    Raises:
        UsageError: It cannot be decoded.
    """
    import tensorflow as tf

    from keras_convnext.image import decode

    try:
        return decode(picture.contents).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise UsageError(f"the picture {picture.name} cannot be decoded") from error


def find(
    wanted: str | None, model: Path | None, others: Origin | None = None
) -> Origin:
    """Returns where the pictures to compare on are.

    Args:
        wanted: One of `origins.SPECS`; of its two parts the one held back is taken.
            Or nothing: then what the training run beside the model held back, failing
            that `others`, failing that the samples that training put beside the
            model, and failing that generated pictures.
        model: The model's file, if it is one.
        others: Pictures beside those that calibration uses.

    Raises:
        UsageError: What `wanted` names is not there.
    """
    if wanted is not None:
        parts = image_sets.find("pictures", wanted)
        found = parts.held_back or parts.training
        if found is None:
            raise UsageError(f"--pictures: {wanted} has no pictures")
        return found
    apart = (_held_back(model.parent) if model else None) or others
    if apart is not None:
        return apart
    files = image_sets.files_in(model.parent / "pictures" / "samples") if model else []
    if files:
        return image_sets.of_files(
            f"samples beside the model: {files[0].parent}", files
        )
    return Origin(f"{_GENERATED} generated pictures", _GENERATED, _generated)


def read(origin: Origin, most: int) -> Pictures:
    """Returns pictures of an origin.

    Args:
        origin: Where they are.
        most: How many, if there are so many.
    """
    numbers = np.sort(origin.order()[:most])
    return Pictures(origin.words, tuple(origin.read(numbers)))


def enough(size_px: int) -> int:
    """Returns on how many pictures to compare a model that takes this size."""
    of_that_work = _PICTURES_AT_224_PX * 224**2 // size_px**2
    return min(_MOST_PICTURES, max(_PICTURES_AT_224_PX, of_that_work))


def _held_back(workdir: Path) -> Origin | None:
    """Returns what the run in a training workdir held back, if it can still be had."""
    try:
        return find_run_images(workdir).held_back
    except UsageError:
        return None


def _generated(numbers: Iterable[int]) -> list[Picture]:
    """Returns pictures of coloured waves: smooth as photographs are, and no two alike.

    Noise would not do: a classifier gives the same answer for all of it.
    """
    members = []
    for number in numbers:
        generator = np.random.default_rng(number)
        height, width = generator.integers(160, 320, 2)
        rows, columns = np.mgrid[0:height, 0:width]
        waves = [
            np.sin(rows * down + columns * across + phase)
            for down, across, phase in generator.uniform(-0.2, 0.2, (3, 3)) * (1, 1, 20)
        ]
        pixels = np.uint8(np.rint(127.5 + 127.5 * np.stack(waves, -1)))
        file_format = ("PNG", "JPEG")[number % 2]
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format=file_format)
        name = f"generated_{number:02d}.{file_format.lower()}"
        members.append(Picture(name, file.getvalue()))
    return members
