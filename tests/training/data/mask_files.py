"""Folders of images and masks for tests, written by Pillow."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("ground", "square", "bar")


def shapes(number: int, height: int = 24, width: int = 40) -> np.ndarray:
    """A mask of three classes, with a frame of ignored pixels on the left."""
    generator = np.random.default_rng(number)
    mask = np.zeros((height, width), np.uint8)
    top, left = generator.integers(2, [height - 10, width - 10])
    mask[top : top + 8, left : left + 8] = 1
    mask[:, int(generator.integers(2, width - 3))] = 2
    mask[:, :1] = 255
    return mask


def colors(mask: np.ndarray) -> np.ndarray:
    """An image that shows the labels: 70 levels each."""
    return np.repeat((mask % 255 * 70)[..., None], 3, axis=-1).astype(np.uint8)


def write_masks(
    root: Path,
    masks: Mapping[str, np.ndarray],
    classes: Sequence[str] | None = CLASSES,
) -> Path:
    """Writes images/NAME.png and annotations/NAME.png, and classes.txt."""
    for name, mask in masks.items():
        image, annotation = root / f"images/{name}", root / f"annotations/{name}"
        for file, pixels in ((image, colors(mask)), (annotation, mask)):
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file.with_suffix(".png"))
    if classes is not None:
        (root / "classes.txt").write_text("\n".join(classes) + "\n")
    return root
