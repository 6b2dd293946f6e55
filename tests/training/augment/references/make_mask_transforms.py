"""Records what OpenCV makes of colors and sizes, for test_mask_transforms.py.

The distortions follow mmsegmentation 1.2.2's PhotoMetricDistortion with these draws.
Run with NumPy and opencv-python-headless installed (made with 4.5.5; 5.0.0 gives the
same):
    python make_mask_transforms.py
"""

from pathlib import Path

import cv2
import numpy as np

SIZES = ((20, 30), (67, 50), (80, 128))
# OpenCV rounds the last few colors of a row and cuts all others off: by rows of 32
# there are no last few.
SIDES = (40, 64)
DRAWS = 12


def image() -> np.ndarray:
    """Noise, bands of few levels, gray, and dark."""
    made = np.random.default_rng(0).integers(0, 256, (*SIDES, 3)).astype(np.uint8)
    made[:8] = made[:8] // 64 * 64
    made[8:12] = made[8:12, :, :1]
    made[12:16] = np.minimum(made[12:16], 3)
    return made


def to_levels(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


def distort(pixels, chosen, brightness, contrast, saturation, hue, contrast_first):
    def contrasted(pixels):
        if not chosen[1]:
            return pixels
        return to_levels(pixels.astype(np.float32) * np.float32(contrast))

    if chosen[0]:
        pixels = to_levels(pixels.astype(np.float32) + np.float32(brightness))
    if contrast_first:
        pixels = contrasted(pixels)
    if chosen[2]:
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
        factor = np.float32(saturation)
        hsv[..., 1] = to_levels(hsv[..., 1].astype(np.float32) * factor)
        pixels = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if chosen[3]:
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + hue) % 180
        pixels = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return pixels if contrast_first else contrasted(pixels)


def main() -> None:
    generator = np.random.default_rng(1)
    pixels = image()
    places = np.arange(SIDES[0] * SIDES[1], dtype=np.uint16).reshape(SIDES)
    recorded = {"image": pixels, "sizes": np.array(SIZES)}
    for height, width in SIZES:
        name, size = f"{height}x{width}", (width, height)
        nearest = cv2.resize(places, size, interpolation=cv2.INTER_NEAREST)
        recorded[f"nearest_{name}"] = nearest
        recorded[f"bilinear_{name}"] = cv2.resize(pixels, size)
    draws = {
        "chosen": generator.random((DRAWS, 4)) < 0.5,
        "brightness": generator.uniform(-32, 32, DRAWS).astype(np.float32),
        "contrast": generator.uniform(0.5, 1.5, DRAWS).astype(np.float32),
        "saturation": generator.uniform(0.5, 1.5, DRAWS).astype(np.float32),
        "hue": generator.integers(-18, 18, DRAWS).astype(np.int32),
        "contrast_first": generator.random(DRAWS) < 0.5,
    }
    draws["chosen"][:2] = True
    draws["contrast_first"][:2] = (True, False)
    rows = [
        dict(zip(draws, row, strict=True)) for row in zip(*draws.values(), strict=False)
    ]
    distorted = np.stack([distort(pixels[::2], **row) for row in rows])
    file = Path(__file__).with_name("mask_transforms.npz")
    np.savez_compressed(file, **recorded, **draws, distorted=distorted)


if __name__ == "__main__":
    main()
