"""Images that can be had, encoded: what every source of them gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class TrueObjects:
    """The objects in an image.

    Attributes:
        boxes: float64 `(objects, 4)`: y0, x0, y1, x1 in pixels.
        classes: Numbers of `EncodedImage.classes`, `(objects,)`.
        is_crowd: Whether each is a region of many objects, `(objects,)`.
    """

    boxes: np.ndarray
    classes: np.ndarray
    is_crowd: np.ndarray


@dataclass(frozen=True)
class EncodedImage:
    """An encoded image, what it is called, and what is in it where that is known.

    Attributes:
        name: What it is called.
        contents: The file.
        label: Its class.
        mask: Labels of its pixels, `(height, width)`: numbers of `classes`.
        classes: The names of the labels in `mask` or of `objects`.
        objects: What is in it.
    """

    name: str
    contents: bytes
    label: str | None = None
    mask: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    objects: TrueObjects | None = None


@dataclass(frozen=True)
class ImageSet:
    """Images of a data source.

    Attributes:
        words: What they are, for people.
        count: How many there are.
        read: Returns the images of these numbers, in the numbers' order.
        streamed: Whether reading a number means reading all before it.
        paths: Where they lie, if each is a file.
    """

    words: str
    count: int
    read: Callable[[Iterable[int]], list[EncodedImage]]
    streamed: bool = False
    paths: tuple[Path, ...] = ()

    def order(self, seed: int = 0) -> np.ndarray:
        """Returns the numbers in a random order, in their own where streamed."""
        if self.streamed:
            return np.arange(self.count)
        return np.random.default_rng(seed).permutation(self.count)

    def part(self, words: str, numbers: np.ndarray) -> ImageSet:
        """Returns the images of some numbers."""
        return ImageSet(
            words,
            len(numbers),
            lambda chosen: self.read(numbers[number] for number in chosen),
        )


@dataclass(frozen=True)
class Splits:
    """The two parts of what a spec names; `None` for one that it has not.

    Attributes:
        training: Images that a model may have learned from.
        validation: Images apart from those.
        undivided: Whether both are the same images.
    """

    training: ImageSet | None
    validation: ImageSet | None
    undivided: bool = False
