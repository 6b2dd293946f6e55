"""The pictures on which the ranges of activations are measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_convnext.preprocessing import Preprocessing

from . import pictures
from .console import Mistake

# With fewer, the ranges are those of the few.
LEAST_PICTURES = 100
_MOST_PICTURES = 200
_FOLDER, _NAMED = "folder:", "tfds:"


@dataclass(frozen=True)
class Calibration:
    """Where to take the pictures from.

    Attributes:
        files: Encoded pictures; empty where `data_set` is given.
        data_set: The name of a tensorflow-datasets set, of which "train" is taken.
        rest: Files of the same folder that are not needed.
    """

    files: tuple[Path, ...] = ()
    data_set: str = ""
    rest: tuple[Path, ...] = ()


def find(wanted: str | None, seed: int = 0) -> Calibration:
    """Returns where to take the pictures from, having looked whether there are enough.

    Args:
        wanted: `folder:PATH` (searched with its subfolders) or `tfds:NAME`.
        seed: Of the choice.

    Raises:
        Mistake: There are none, or too few.
    """
    if wanted is None:
        raise Mistake(
            "int8 and int16x8 need --calibration=folder:PATH or tfds:NAME: real "
            f"pictures, at least {LEAST_PICTURES}"
        )
    if wanted.startswith(_NAMED):
        return Calibration(data_set=wanted.removeprefix(_NAMED))
    if not wanted.startswith(_FOLDER):
        raise Mistake(f"--calibration={wanted}: expected folder:PATH or tfds:NAME")
    folder = Path(wanted.removeprefix(_FOLDER)).expanduser()
    if not folder.is_dir():
        raise Mistake(f"--calibration: there is no folder {folder}")
    files = pictures.files_in(folder)
    if len(files) < LEAST_PICTURES:
        raise Mistake(
            f"--calibration: {folder} holds {len(files)} pictures, at least "
            f"{LEAST_PICTURES} are needed"
        )
    order = np.random.default_rng(seed).permutation(len(files))
    shuffled = [files[index] for index in order]
    return Calibration(
        files=tuple(shuffled[:_MOST_PICTURES]), rest=tuple(shuffled[_MOST_PICTURES:])
    )


def load(calibration: Calibration, preprocessing: Preprocessing) -> np.ndarray:
    """Returns the pictures as the model sees them.

    Args:
        calibration: Where they are.
        preprocessing: What is done with them.

    Returns:
        float32 `(count, size_px, size_px, 3)`, 0..255.

    Raises:
        Mistake: A picture cannot be decoded, or the data set cannot be had or is too
            small.
    """
    from keras_convnext.image import evaluation_view

    views = [
        evaluation_view(image, preprocessing).numpy() for image in _images(calibration)
    ]
    if len(views) < LEAST_PICTURES:
        raise Mistake(
            f"--calibration: tfds:{calibration.data_set} has {len(views)} pictures, at "
            f"least {LEAST_PICTURES} are needed"
        )
    return np.stack(views)


def _images(calibration: Calibration) -> Iterator[np.ndarray]:
    if calibration.data_set:
        yield from _named(calibration.data_set)
        return
    for path in calibration.files:
        yield pictures.decoded(path.name, path.read_bytes())


def _named(name: str) -> Iterator[np.ndarray]:
    """Returns the first pictures of a data set's training split."""
    import tensorflow_datasets as tfds

    try:
        data = tfds.load(name, split="train", shuffle_files=False)
    except Exception as error:
        # Builders fail in every way that downloading and parsing can.
        reason = str(error).strip().partition("\n")[0][:200]
        raise Mistake(f"--calibration: tfds:{name} cannot be had: {reason}") from error
    for example in data.take(_MOST_PICTURES):
        image = example["image"].numpy()
        yield np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
