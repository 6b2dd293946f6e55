"""The images on which the ranges of activations are measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_convnext._messages import UsageError
from keras_convnext.preprocessing import Preprocessing

from . import comparison, image_sets
from .image_set import ImageSet, Splits
from .run_images import find_run_images

# With fewer, the ranges are those of the few.
LEAST_IMAGES = 100
_MOST_IMAGES = 200


@dataclass(frozen=True)
class Calibration:
    """Where to take the images from.

    Attributes:
        image_set: Holds them.
        numbers: Which of them.
        others: What the same place has besides, to evaluate the result on; `None` where
            there is nothing else.
    """

    image_set: ImageSet
    numbers: np.ndarray
    others: ImageSet | None


def find(wanted: str | None, model: Path | None = None) -> Calibration:
    """Returns the source of the images, after a check that there are enough.

    Args:
        wanted: A data source; of its two parts training's is taken. Or
            nothing: then what the run beside the model learned from.
        model: The model's file, if it is one.

    Raises:
        UsageError: There are none, or too few.
    """
    splits = (
        _of_run(model) if wanted is None else image_sets.find("calibration", wanted)
    )
    image_set = splits.training
    if image_set is None:
        raise UsageError(
            f"--calibration: {wanted or 'the run'} has no images for training"
        )
    if image_set.count < LEAST_IMAGES:
        raise UsageError(
            f"--calibration: {image_set.words} holds {image_set.count} images; at "
            f"least {LEAST_IMAGES} are needed"
        )
    order = image_set.order()
    others = splits.validation
    if splits.undivided:
        words = f"those of {image_set.words} that calibration did not use"
        rest = order[_MOST_IMAGES:]
        others = image_set.part(words, rest) if len(rest) else None
    return Calibration(image_set, order[:_MOST_IMAGES], others)


def _of_run(model: Path | None) -> Splits:
    """Returns the images of the run beside a model."""
    reason = "a published checkpoint has no run"
    if model is not None:
        try:
            return find_run_images(model.parent)
        except UsageError as mistake:
            reason = str(mistake)
    raise UsageError(
        f"int8 and int16x8 need --calibration: real images, at least {LEAST_IMAGES}, "
        f"given as {image_sets.FORMS}; those of the model's own run are not available: "
        f"{reason}"
    )


def load(
    calibration: Calibration,
    preprocessing: Preprocessing,
    view: Callable[[np.ndarray, Preprocessing], np.ndarray],
) -> np.ndarray:
    """Returns the images as the model sees them.

    Args:
        calibration: Where they are.
        preprocessing: What is done with them.
        view: How: returns an image as a file of one size sees it.

    Returns:
        float32 `(count, size_px, size_px, 3)`, 0..255.

    Raises:
        UsageError: An image cannot be decoded.
    """
    views = [
        view(comparison.decode(image), preprocessing)
        for image in calibration.image_set.read(calibration.numbers)
    ]
    return np.stack(views)
