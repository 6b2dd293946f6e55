"""Records what timm's MixUp and CutMix make of a batch, for test_augment_mixing.py.

Run with torch, torchvision and timm installed (made with timm 1.0.31):
    python make_mixing.py mixing.npz
"""

import sys
from unittest import mock

import numpy as np
import torch
from timm.data import mixup

# CutMix boxes of odd and of even sides, within the image and sticking out of it.
SHARES = (0.1, 0.37, 0.8, 0.95)
MIDDLES = ((5, 4), (1, 10))
SMOOTHING = 0.1
HEIGHT, WIDTH, CLASSES = 10, 12, 6
DRAWS = 20_000
# Its box is 26 high and 35 wide: an even and an odd side.
DRAWN_SHARE, DRAWN_SIZE = 0.7, (48, 64)


def batch() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    shape = (CLASSES, HEIGHT, WIDTH, 3)
    return generator.integers(0, 256, shape, np.uint8), np.arange(CLASSES)


def mixed(share: float, middle: tuple[int, int] | None) -> tuple:
    """The batch, mixed by a given share; by CutMix about a given middle, or MixUp."""
    images, labels = batch()
    settings = {"mixup_alpha": 0.8, "cutmix_alpha": 0.0}
    if middle is not None:
        settings = {"mixup_alpha": 0.0, "cutmix_alpha": 1.0}
    mix = mixup.Mixup(**settings, label_smoothing=SMOOTHING, num_classes=CLASSES)
    pixels = torch.tensor(images.transpose(0, 3, 1, 2), dtype=torch.float32)
    with (
        mock.patch.object(np.random, "beta", return_value=share),
        mock.patch.object(np.random, "randint", side_effect=middle),
    ):
        pixels, targets = mix(pixels, torch.tensor(labels))
    return pixels.numpy().transpose(0, 2, 3, 1), targets.numpy()


def boxes() -> np.ndarray:
    """Top, bottom, left and right of many boxes, and what each leaves of an image."""
    np.random.seed(0)
    drawn = [
        mixup.cutmix_bbox_and_lam((3, *DRAWN_SIZE), DRAWN_SHARE) for _ in range(DRAWS)
    ]
    return np.array([(*map(int, box), kept) for box, kept in drawn])


if __name__ == "__main__":
    images, labels = batch()
    made = {"images": images, "labels": labels, "smoothing": SMOOTHING}
    made |= {"shares": SHARES, "middles": MIDDLES}
    blended = [mixed(share, None) for share in SHARES]
    made["blended"] = np.stack([pixels for pixels, _ in blended])
    made["blended_targets"] = np.stack([targets for _, targets in blended])
    for number, middle in enumerate(MIDDLES):
        pasted = [mixed(share, middle) for share in SHARES]
        made[f"pasted_{number}"] = np.stack([p for p, _ in pasted]).astype(np.uint8)
        made[f"pasted_targets_{number}"] = np.stack([t for _, t in pasted])
    made["drawn_share"], made["drawn_size"] = DRAWN_SHARE, DRAWN_SIZE
    found = boxes()
    made["boxes_mean"], made["boxes_std"] = found.mean(axis=0), found.std(axis=0)
    made["draws"] = DRAWS
    np.savez_compressed(sys.argv[1], **made)
