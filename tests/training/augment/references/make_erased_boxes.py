"""Records which boxes timm's random erasing takes, for test_augment_erasing.py.

Run with torch, torchvision and timm installed (made with timm 1.0.31):
    python make_erased_boxes.py > erased_boxes.json
"""

import json
import random

import numpy as np
import torch
from timm.data.random_erasing import RandomErasing

DRAWS = 20_000
HEIGHT, WIDTH = 48, 64


def boxes() -> np.ndarray:
    """Top, left, height and width of each box, read off the erased image."""
    erase = RandomErasing(probability=1.0, mode="const", device="cpu")
    found = []
    for _ in range(DRAWS):
        gone = erase(torch.ones(1, HEIGHT, WIDTH))[0].numpy() == 0
        rows, columns = np.flatnonzero(gone.any(1)), np.flatnonzero(gone.any(0))
        found.append((rows[0], columns[0], len(rows), len(columns)))
    return np.array(found, float)


if __name__ == "__main__":
    random.seed(0)
    top, left, tall, wide = boxes().T
    measured = {
        "area": tall * wide / (HEIGHT * WIDTH),
        "log_ratio": np.log(tall / wide),
        "middle_row": (top + tall / 2) / HEIGHT,
        "middle_column": (left + wide / 2) / WIDTH,
    }
    table = {"draws": DRAWS, "height": HEIGHT, "width": WIDTH}
    table["mean"] = {name: values.mean() for name, values in measured.items()}
    table["std"] = {name: values.std() for name, values in measured.items()}
    print(json.dumps(table, indent=1))
