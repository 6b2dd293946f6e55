"""ImageNet-ReaL: for each validation image of ImageNet, every class that is right.

The published file, real.json, is a list with a list of class numbers for each image,
ordered by the images' own numbers: ILSVRC2012_val_00000001.JPEG has the first. An
empty list says that no class is right, and such images are left out.
Source: arXiv:2006.07159; github.com/google-research/reassessed-imagenet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_IMAGE_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})\b")


def read(path: Path, classes: int) -> list[list[int]]:
    """Reads the file.

    Args:
        path: The file.
        classes: How many classes the data have; the file's numbers are theirs.

    Returns:
        The numbers of the right classes for each image.

    Raises:
        ValueError: It cannot be read, or holds something else.
    """
    try:
        lists: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON"
        raise ValueError(f"{path} cannot be read: {reason}") from error
    if not isinstance(lists, list) or not all(map(_is_numbers, lists)):
        raise ValueError(
            f"{path} is no list with a list of class numbers for each image, as "
            "ImageNet-ReaL's real.json is"
        )
    highest = max((number for numbers in lists for number in numbers), default=0)
    if highest >= classes:
        raise ValueError(
            f"{path} speaks of class {highest}, but the data have {classes} classes; "
            "ImageNet's thousand are wanted, in the order of their WordNet ids"
        )
    return lists


def labels_of_images(
    lists: Sequence[list[int]], names: Sequence[str]
) -> list[list[int]]:
    """Returns the right classes of images, by the numbers in their file names.

    Args:
        lists: From `read`.
        names: File names, such as "val/n01440764/ILSVRC2012_val_00000293.JPEG".

    Raises:
        ValueError: A name has no such number, or the file ends before it.
    """
    if not names:
        raise ValueError(
            "these data keep no file names, by which images find their labels; give "
            "folder:PATH or imagenet2012"
        )
    found = []
    for name in names:
        match = _IMAGE_NUMBER.search(name)
        number = int(match[1]) if match else 0
        if not 1 <= number <= len(lists):
            raise ValueError(
                f"{name} has no number from 1 to {len(lists)} in its name, as "
                "ILSVRC2012_val_00000001.JPEG has"
            )
        found.append(lists[number - 1])
    return found


def accuracy(
    answers: Sequence[int] | np.ndarray, right: Sequence[Sequence[int]]
) -> tuple[float, int]:
    """Returns the share of answers that are among the right ones.

    Args:
        answers: A class number for each image.
        right: The numbers that are right for it; images without any are left out.

    Returns:
        The share, and how many images it is of: one at least.
    """
    correct = [
        answer in numbers
        for answer, numbers in zip(answers, right, strict=True)
        if numbers
    ]
    return sum(correct) / len(correct), len(correct)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(number, int) and not isinstance(number, bool) and number >= 0
        for number in value
    )
