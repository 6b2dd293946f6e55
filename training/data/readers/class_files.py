"""Image files sorted by their classes, checked, and split class by class."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from keras_convnext._data.data_error import SplitError
from keras_convnext._data.draw_split import draw_split
from keras_convnext._files import AnyPath, first_few, legible

from .. import image_files as images
from ..examples import Files

# The paths of each class's images.
ByClass = Mapping[str, tuple[AnyPath, ...]]


def split_classes(
    by_class: ByClass[AnyPath],
    share: float,
    seed: int,
    instead: str = "make train/ and val/ yourself",
) -> tuple[ByClass[AnyPath], ByClass[AnyPath]]:
    """Splits each class at random: at least one image on either side.

    Args:
        by_class: Files of each class, at least two.
        share: What the second part gets of every class.
        seed: The same seed splits the same files in the same way.
        instead: What a person may do who has one image alone of a class.

    Returns:
        The files of each class for training and for evaluation.

    Raises:
        SplitError: A class has a single image.
    """
    single = [name for name, files in by_class.items() if len(files) < 2]
    if single:
        raise SplitError(
            f"One image alone cannot be split into training and evaluation: "
            f"{first_few(single)}. Add images, or {instead}."
        )
    generator = np.random.default_rng(seed)
    kept: dict[str, tuple[AnyPath, ...]] = {}
    validation: dict[str, tuple[AnyPath, ...]] = {}
    for name, files in sorted(by_class.items()):
        kept[name], validation[name] = draw_split(files, share, generator)
    return kept, validation


def keep_usable(
    by_class: ByClass[AnyPath], checked: Mapping[AnyPath, images.CheckedImage]
) -> ByClass[AnyPath]:
    """Returns the files of each class that passed the check."""
    return {
        name: tuple(file for file in files if not checked[file].problem)
        for name, files in by_class.items()
    }


def make_files(
    by_class: ByClass[AnyPath],
    classes: Sequence[str],
    checked: Mapping[AnyPath, images.CheckedImage],
) -> Files:
    """Returns files as examples, class by class.

    Args:
        by_class: Files of each class; classes without any may be left out.
        classes: Their names in the order of the labels.
        checked: What the check found out about each file.
    """
    found = [
        (checked[file], label)
        for label, name in enumerate(classes)
        for file in by_class.get(name, ())
    ]
    return Files(
        tuple(os.fsencode(image.readable) for image, _ in found),
        np.array([label for _, label in found], np.int32),
        np.array([image.way for image, _ in found], np.int32),
        tuple(legible(image.path) for image, _ in found),
    )
