"""Class folders of made images, for examples that begin with photographs."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_photos(folder: Path) -> None:
    """Twenty images in two classes: bright noise and dark noise."""
    random = np.random.default_rng(0)
    for name, low, high in (("bright", 128, 256), ("dark", 0, 128)):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(low, high, (64, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
