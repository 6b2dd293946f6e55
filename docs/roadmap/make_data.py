"""Writes the images of the small reproduction.

Run as
    python docs/roadmap/make_data.py cifar10_jpeg.npz cifar10_15000.npz

The first file holds CIFAR-10 as JPEG files in a random order, their common header kept
once; the second gets its first 15,000 training and 5,000 test images, decoded.
"""

from __future__ import annotations

import io
import sys

import numpy as np
from PIL import Image

TRAINING, TEST = 15_000, 5_000
CLASSES = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]


def decoded(arrays: dict[str, np.ndarray], part: str, count: int) -> np.ndarray:
    """Returns the first images of a part, uint8 `(count, 32, 32, 3)`."""
    header = arrays["jpeg_header"].tobytes()
    contents, offsets = arrays[f"{part}_data"].tobytes(), arrays[f"{part}_offsets"]
    files = [header + contents[offsets[i] : offsets[i + 1]] for i in range(count)]
    return np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])


def main(source: str, target: str) -> None:
    """Reads one file and writes the other."""
    with np.load(source) as opened:
        arrays = {name: opened[name] for name in opened.files}
    np.savez(
        target,
        train_images=decoded(arrays, "train", TRAINING),
        train_labels=arrays["train_label"][:TRAINING].astype(np.int64),
        test_images=decoded(arrays, "test", TEST),
        test_labels=arrays["test_label"][:TEST].astype(np.int64),
        classes=np.array(CLASSES),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
