"""The images on which an export is compared with its model."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from keras_convnext._messages import UsageError

from . import image_sets
from .image_set import EncodedImage, ImageSet
from .run_images import find_run_images

# Each image is classified about ten times. That many of 224 px take a large model a
# minute; of smaller ones more are taken, up to a number that tells 99.9 % from all.
_IMAGES_AT_224_PX = 128
_MOST_IMAGES = 2000
_LABEL_MAPS = 16
_GENERATED = 16


@dataclass(frozen=True)
class ComparisonImages:
    """Images and where they are from.

    Attributes:
        origin: In words.
        members: The images.
    """

    origin: str
    members: tuple[EncodedImage, ...]


def decode(image: EncodedImage) -> np.ndarray:
    """Returns an image's pixels, uint8 `(height, width, 3)`.

    Raises:
        UsageError: It cannot be decoded.
    """
    import tensorflow as tf

    from keras_convnext.image import decode

    try:
        return decode(image.contents).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise UsageError(f"the image {image.name} cannot be decoded") from error


def find(
    wanted: str | None, model: Path | None, others: ImageSet | None = None
) -> ImageSet:
    """Returns the set of images for the comparison.

    Args:
        wanted: A data source; of its two parts the validation images are taken.
            Or nothing: then the validation images of the run beside the model, failing
            that `others`, failing that the samples that training put beside the
            model, and failing that generated images.
        model: The model's file, if it is one.
        others: Images beside those that calibration uses.

    Raises:
        UsageError: What `wanted` names is not there.
    """
    if wanted is not None:
        splits = image_sets.find("images", wanted)
        found = splits.validation or splits.training
        if found is None:
            raise UsageError(f"--images: {wanted} has no images")
        return found
    apart = (_validation(model.parent) if model else None) or others
    if apart is not None:
        return apart
    samples = model.parent / "pictures" / "samples" if model else None
    if samples and samples.is_dir() and (files := image_sets.files_in(samples)):
        return image_sets.of_files(
            f"samples beside the model: {files[0].parent}", files
        )
    return ImageSet(f"{_GENERATED} generated images", _GENERATED, _generated)


def read(origin: ImageSet, most: int) -> ComparisonImages:
    """Returns images of an origin.

    Args:
        origin: Where they are.
        most: How many, if there are so many.
    """
    numbers = np.sort(origin.order()[:most])
    return ComparisonImages(origin.words, tuple(origin.read(numbers)))


def enough(size_px: int) -> int:
    """Returns on how many images to compare a model that takes this size."""
    of_that_work = _IMAGES_AT_224_PX * 224**2 // size_px**2
    return min(_MOST_IMAGES, max(_IMAGES_AT_224_PX, of_that_work))


def enough_label_maps(size_px: int) -> int:
    """Returns on how many images to compare a segmentation model of this size.

    Each has some hundred thousand pixels, and takes many times a classifier's work.
    """
    return max(_LABEL_MAPS, enough(size_px) // 8)


def _validation(workdir: Path) -> ImageSet | None:
    """Returns the validation images of the run in a workdir, if they still exist."""
    try:
        return find_run_images(workdir).validation
    except UsageError:
        return None


def _generated(numbers: Iterable[int]) -> list[EncodedImage]:
    """Returns images of colored waves: smooth as photographs are, and no two alike.

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
        members.append(EncodedImage(name, file.getvalue()))
    return members
