"""A segmentation that is small and complete: shapes on noise, and its recipe."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("ground", "square", "disk")
SIDE_PX = 32


def shapes(number, height=40, width=56):
    """An image uint8 with a red square and a blue disk, and its mask.

    The first row of the mask has no label.
    """
    rng = np.random.default_rng(number)
    image = rng.integers(0, 90, (height, width, 3))
    mask = np.zeros((height, width), np.uint8)
    rows, columns = np.mgrid[:height, :width]
    for label, color in ((1, (150, 0, 0)), (2, (0, 0, 150))):
        radius = rng.integers(6, 10)
        away = (
            abs(rows - rng.integers(radius, height - radius)),
            abs(columns - rng.integers(radius, width - radius)),
        )
        inside = np.maximum(*away) <= radius
        if label == 2:
            inside = away[0] ** 2 + away[1] ** 2 <= radius**2
        mask[inside] = label
        image[inside] += np.array(color)
    mask[0] = 255
    return image.clip(0, 255).astype(np.uint8), mask


def write_shapes(folder: Path, training=24, validation=5):
    """Writes a folder for `--data=masks:FOLDER`, of images of two sizes."""
    for part, numbers in (
        ("training", range(training)),
        ("validation", range(100, 100 + validation)),
    ):
        for kind in ("images", "annotations"):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            pixels = shapes(number, height=40 + 8 * (number % 2))
            for kind, array in zip(("images", "annotations"), pixels, strict=True):
                Image.fromarray(array).save(folder / kind / part / f"{number}.png")
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return folder
