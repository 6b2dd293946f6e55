"""What a reader of images finds under a path or a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Classes = TypeVar("Classes")
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Found(Generic[Classes, Kept]):
    """Images of a data set, checked and split.

    Attributes:
        classes: Names in the order of the labels, or what the numbers in masks mean.
        train: Training images.
        validation: Validation images.
        skipped: Path and reason of each image left out.
        notices: Remarks worth a line each.
        drawn: Whether the validation images were drawn from those of training.
        category_numbers: The ids that data with boxes has for the classes.
    """

    classes: Classes
    train: Kept
    validation: Kept
    skipped: tuple[tuple[str, str], ...] = ()
    notices: tuple[str, ...] = ()
    drawn: bool = False
    category_numbers: tuple[int, ...] = ()
