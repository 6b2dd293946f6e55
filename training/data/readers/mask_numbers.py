"""The numbers that occur in masks, compared with the classes that they are to mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from keras_convnext._data.data_error import DataError
from keras_convnext._data.mask_classes import MaskClasses
from keras_convnext._files import first_few

from ..mask_files import CheckedMask


def list_numbers(masks: Iterable[CheckedMask]) -> np.ndarray:
    """Returns the numbers that occur in masks, rising."""
    found: set[int] = set()
    for mask in masks:
        found.update(mask.counts or ())
    return np.array(sorted(found), int)


def count_pixels(masks: Iterable[CheckedMask], classes: MaskClasses) -> np.ndarray:
    """Returns how many pixels each class has, int64 `(classes,)`."""
    pixels = np.zeros(len(classes.names), np.int64)
    for mask in masks:
        for number, count in (mask.counts or {}).items():
            label = classes.labels[number]
            if label != classes.ignored:
                pixels[label] += count
    return pixels


def refuse_unknown(
    folder: Path, masks: Sequence[CheckedMask], classes: MaskClasses
) -> None:
    """Refuses masks with numbers that no line of classes.txt is for.

    Args:
        folder: Where the masks lie.
        masks: All of them.
        classes: What their numbers mean.

    Raises:
        DataError: There are such numbers; names them and the files.
    """
    numbers = list_numbers(masks)
    unknown = numbers[classes.labels[numbers] < 0]
    if not len(unknown):
        return
    files = [
        mask.path.name
        for mask in masks
        if any(number in (mask.counts or ()) for number in unknown.tolist())
    ]
    last = len(classes.lines) - 1
    raise DataError(
        f"{len(files):,} masks in {folder} hold numbers that are no class: "
        f"{first_few(unknown.tolist())} (the last of {len(classes.names)} classes is "
        f"number {last}; 255 does not count). Such are {first_few(files)}. Correct the "
        "masks, or add a line to classes.txt for each number."
    )


def describe_reduced(said: MaskClasses, classes: MaskClasses) -> list[str]:
    """Returns a line where the recipe, and not classes.txt, leaves 0 out.

    Args:
        said: What the data says.
        classes: What holds.
    """
    if said is classes:
        return []
    return [
        "0 in the masks does not count, as the recipe's reduce_zero_label says: "
        f"{classes.names[0]} is number 1."
    ]


def describe_absent(
    trained: np.ndarray,
    validated: np.ndarray,
    classes: MaskClasses,
    numbers: np.ndarray,
) -> list[str]:
    """Returns lines on classes that no pixel has.

    Args:
        trained: Pixels of each class in the training masks.
        validated: The same of validation.
        classes: What the numbers mean.
        numbers: Those that occur.
    """
    names = np.array(classes.names)
    never = names[(trained == 0) & (validated == 0)]
    found = []
    if len(never):
        found.append(f"no pixel of any mask is of the class {first_few(never)}.")
        if numbers.tolist() == [0, 255]:
            found[-1] += (
                " The masks hold 0 and 255 alone, and 255 does not count: write 1 for "
                "the class that is white in them."
            )
    untrained = names[(trained == 0) & (validated > 0)]
    if len(untrained):
        found.append(
            f"no pixel of the training masks is of the class {first_few(untrained)}, "
            "which validation has."
        )
    return found
