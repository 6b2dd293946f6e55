"""Records what timm's random resized crop draws, for test_augment.py.

Run with Pillow, torch, torchvision and timm installed (made with timm 1.0.31):
    python make_crop_windows.py > crop_windows.json
"""

import json
import random

import numpy as np
from PIL import Image
from timm.data.transforms import RandomResizedCropAndInterpolation

DRAWS = 20_000
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
# The last two are so long that crops often, and always, miss.
SIZES = ((240, 320), (500, 375), (100, 210), (30, 400))


def summary(height: int, width: int) -> dict:
    """Mean and standard deviation of what decides a window."""
    image = Image.new("RGB", (width, height))
    draws = np.array(
        [
            RandomResizedCropAndInterpolation.get_params(image, SCALE, RATIO)
            for _ in range(DRAWS)
        ],
        float,
    )
    top, left, tall, wide = draws.T
    measured = {
        "area": tall * wide / (height * width),
        "log_ratio": np.log(wide / tall),
        "middle_row": (top + tall / 2) / height,
        "middle_column": (left + wide / 2) / width,
        "top_squared": (top / height) ** 2,
        "left_squared": (left / width) ** 2,
    }
    return {
        "height": height,
        "width": width,
        "mean": {name: values.mean() for name, values in measured.items()},
        "std": {name: values.std() for name, values in measured.items()},
    }


if __name__ == "__main__":
    random.seed(0)
    table = {"draws": DRAWS, "scale": SCALE, "ratio": RATIO}
    table["pictures"] = [summary(*size) for size in SIZES]
    print(json.dumps(table, indent=1))
