"""The pictures on which the ranges of activations are measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_convnext._messages import UsageError
from keras_convnext.preprocessing import Preprocessing

from . import comparison, image_sets
from .image_sets import Origin, Parts
from .run_images import find_run_images

# With fewer, the ranges are those of the few.
LEAST_PICTURES = 100
_MOST_PICTURES = 200


@dataclass(frozen=True)
class Calibration:
    """Where to take the pictures from.

    Attributes:
        origin: Holds them.
        numbers: Which of them.
        others: What the same place has besides, to judge the result on; `None` where
            there is nothing else.
    """

    origin: Origin
    numbers: np.ndarray
    others: Origin | None


def find(wanted: str | None, model: Path | None = None) -> Calibration:
    """Returns where to take the pictures from, having looked whether there are enough.

    Args:
        wanted: One of `origins.SPECS`; of its two parts training's is taken. Or
            nothing: then what the run beside the model learned from.
        model: The model's file, if it is one.

    Raises:
        UsageError: There are none, or too few.
    """
    parts = _of_run(model) if wanted is None else image_sets.find("calibration", wanted)
    origin = parts.training
    if origin is None:
        raise UsageError(
            f"--calibration: {wanted or 'the run'} has no pictures for training"
        )
    if origin.count < LEAST_PICTURES:
        raise UsageError(
            f"--calibration: {origin.words} holds {origin.count} pictures, at least "
            f"{LEAST_PICTURES} are needed"
        )
    order = origin.order()
    others = parts.held_back
    if parts.undivided:
        others = _only(origin, order[_MOST_PICTURES:])
    return Calibration(origin, order[:_MOST_PICTURES], others)


def _of_run(model: Path | None) -> Parts:
    """Returns the images of the run beside a model."""
    reason = "a published checkpoint has no run"
    if model is not None:
        try:
            return find_run_images(model.parent)
        except UsageError as mistake:
            reason = str(mistake)
    raise UsageError(
        f"int8 and int16x8 need --calibration={image_sets.SPECS}: real pictures, at "
        f"least {LEAST_PICTURES}; those of the model's own run are not to be had: "
        f"{reason}"
    )


def _only(origin: Origin, numbers: np.ndarray) -> Origin | None:
    """Returns an origin of these pictures alone."""
    if not len(numbers):
        return None
    return Origin(
        f"those of {origin.words} that calibration did not use",
        len(numbers),
        lambda chosen: origin.read([numbers[number] for number in chosen]),
    )


def load(calibration: Calibration, preprocessing: Preprocessing) -> np.ndarray:
    """Returns the pictures as the model sees them.

    Args:
        calibration: Where they are.
        preprocessing: What is done with them.

    Returns:
        float32 `(count, size_px, size_px, 3)`, 0..255.

    Raises:
        UsageError: A picture cannot be decoded.
    """
    from keras_convnext.image import evaluation_view

    views = [
        evaluation_view(comparison.decoded(picture), preprocessing).numpy()
        for picture in calibration.origin.read(calibration.numbers)
    ]
    return np.stack(views)
