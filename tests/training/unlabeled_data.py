"""Images without labels that can be filled in: waves, in folders of several depths."""

from pathlib import Path

import numpy as np
from PIL import Image

SIDE_PX = 32
FOLDERS = ("", "a", "a/b/c", "d e")
# Of a recipe that pre-trains on them in seconds. V2's block in five stages of a few
# channels would be better; this one is there.
SMALL = {
    "variant": "test_convnext2",
    "layer_scale_init_value": 0.5,
    "size_px": SIDE_PX,
    "patch_size": 1,
    "global_batch": 8,
    "peak_lr": 2e-3,
}


def waves(number, height=40, width=56):
    """An image uint8 of one wave down and one across."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[:height, :width]
    long = random.uniform(6, 14, 2)
    down, across = np.sin(rows / long[0]), np.sin(columns / long[1])
    image = 127 + 100 * np.stack([down, across, down * across], -1)
    return image.astype(np.uint8)


def write_waves(folder: Path, count=24, first=0):
    """Writes PNG files into a folder and folders inside it, and returns it."""
    for number in range(first, first + count):
        place = folder / FOLDERS[number % len(FOLDERS)]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(waves(number)).save(place / f"{number}.png")
    return folder
