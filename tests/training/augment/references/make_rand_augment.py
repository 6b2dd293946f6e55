"""Records what timm's RandAugment makes of one image, for test_augment_rand.py.

Run with Pillow, torch, torchvision and timm installed (made with timm 1.0.31):
    python make_rand_augment.py rand_augment.npz
"""

import random
import sys
from unittest import mock

import numpy as np
from PIL import Image
from timm.data import auto_augment

# At 10 itself Posterize keeps no bit, which Pillow refuses by now.
MAGNITUDES = (0.0, 5.3, 9.0, 9.9)
FILL = (124, 116, 104)


def image() -> np.ndarray:
    """Smooth colors with some noise, in a narrow range."""
    generator = np.random.default_rng(3)
    rows, columns = np.mgrid[0:18, 0:20]
    waves = [rows * 9 + 20, columns * 8 + 30, 200 - rows * 4 - columns * 3]
    noise = generator.normal(0, 12, (18, 20, 3))
    return np.clip(np.stack(waves, -1) + noise, 5, 240).astype(np.uint8)


def changed(name: str, magnitude: float, sign: int) -> np.ndarray:
    """One operation, with the coin that decides the direction held fast."""
    settings = {"img_mean": FILL, "interpolation": Image.Resampling.BICUBIC}
    operation = auto_augment.AugmentOp(name, 1.0, magnitude, settings)
    with mock.patch.object(random, "random", return_value=0.75 if sign < 0 else 0.25):
        return np.asarray(operation(Image.fromarray(image())))


if __name__ == "__main__":
    policy = auto_augment.rand_augment_transform("rand-m9-mstd0.5-inc1")
    names = [operation.name for operation in policy.ops]
    results = [
        [
            [changed(name, magnitude, sign) for sign in (1, -1)]
            for magnitude in MAGNITUDES
        ]
        for name in names
    ]
    first = policy.ops[0]
    np.savez_compressed(
        sys.argv[1],
        names=names,
        magnitudes=MAGNITUDES,
        fill=FILL,
        image=image(),
        results=results,
        policy=[first.magnitude, first.magnitude_std, policy.num_layers, first.prob],
    )
