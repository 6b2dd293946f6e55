"""Colors of classes, and label maps over their images."""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from importlib import resources

import numpy as np

BACKGROUND = "background"


def ade20k_classes() -> tuple[str, ...]:
    """Returns the names of ADE20K's 150 classes, as its published models number them.

    Source: arXiv:1608.05442; the names are mmsegmentation 1.2.2's.

    Example:
        >>> from keras_convnext.segmentation import ade20k_classes
        >>> ade20k_classes()[:3]
        ('wall', 'building', 'sky')
    """
    return tuple(_ade20k_colors())


@functools.cache
def _ade20k_colors() -> dict[str, tuple[int, ...]]:
    file = resources.files("keras_convnext.segmentation") / "ade20k.csv"
    rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    return {row["name"]: tuple(bytes.fromhex(row["color"][1:])) for row in rows}


def palette_for(classes: Sequence[str]) -> np.ndarray:
    """Returns a color for each class.

    ADE20K's own where every name is one of ADE20K's; otherwise the colors of Pascal
    VOC's label maps, all different, in which "background" is black.

    Args:
        classes: Names of the classes, in the order of their numbers.

    Returns:
        uint8 `(classes, 3)`, red, green, blue.

    Source: the development kit of Pascal VOC 2012, its VOClabelcolormap; ADE20K's are
    those of github.com/open-mmlab/mmsegmentation 1.2.2.

    Example:
        >>> from keras_convnext.segmentation import palette_for
        >>> palette_for(["background", "nucleus"]).tolist()
        [[0, 0, 0], [0, 128, 0]]
        >>> palette_for(["sky", "wall"]).tolist()
        [[6, 230, 230], [120, 120, 120]]
    """
    ade20k = _ade20k_colors()
    if all(name in ade20k for name in classes):
        colors = [ade20k[name] for name in classes]
    else:
        colors = [
            _voc_color(0 if name == BACKGROUND else number + 1)
            for number, name in enumerate(classes)
        ]
    return np.array(colors, np.uint8).reshape(len(classes), 3)


def _voc_color(number: int) -> tuple[int, ...]:
    """Returns the color whose channels' high bits are the low bits of a number."""
    bits = [number >> place & 1 for place in range(24)]
    return tuple(
        sum(bit << (7 - place) for place, bit in enumerate(bits[channel::3]))
        for channel in range(3)
    )


def overlay(
    image: np.ndarray,
    label_map: np.ndarray,
    palette: np.ndarray,
    opacity: float = 0.5,
) -> np.ndarray:
    """Colors an image by its label map.

    Args:
        image: uint8 `(height, width, 3)`.
        label_map: Integers `(height, width)`; pixels whose number is no class stay as
            they are.
        palette: uint8 `(classes, 3)`, as `palette_for` returns it.
        opacity: Of the color, 0 to 1.

    Returns:
        uint8 `(height, width, 3)`.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.segmentation import overlay, palette_for
        >>> image = np.full((1, 2, 3), 100, "uint8")
        >>> palette = palette_for(["background", "nucleus"])
        >>> overlay(image, np.array([[1, 255]]), palette)[0].tolist()
        [[50, 114, 50], [100, 100, 100]]
    """
    is_class = label_map < len(palette)
    colors = palette[np.where(is_class, label_map, 0)]
    mixed = np.rint((1 - opacity) * image + opacity * colors)
    return np.where(is_class[..., None], mixed, image).astype(np.uint8)
