"""Images that are nearly the same: resized, re-encoded, brightened or mirrored copies.

Features find candidates; small gray versions of both images decide. Features alone
would take every image of a class for a copy where a network was trained on them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .probes import find_nearest, normalize

# Of the gray versions of copies; different photographs of one class reach 0.92.
LEAST_CORRELATION = 0.99
_GRAY_PX = 16
_CANDIDATES = 10
# Of 0..255: below it an image is all of one shade, like any other such image.
_LEAST_CONTRAST = 4.0


def shrink(images: np.ndarray) -> np.ndarray:
    """Returns small gray versions of images.

    Args:
        images: `(images, height, width, 3)` in 0..255.

    Returns:
        float32 `(images, 256)` with mean 0 and length 1; of an image without contrast
        all 0, which is like nothing.
    """
    from PIL import Image

    small = np.stack(
        [
            np.asarray(
                Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
                .convert("L")
                .resize((_GRAY_PX, _GRAY_PX), Image.Resampling.BOX),
                np.float32,
            ).ravel()
            for image in images
        ]
    )
    small -= small.mean(axis=1, keepdims=True)
    deviation = small.std(axis=1, keepdims=True)
    lengths = np.linalg.norm(small, axis=1, keepdims=True)
    return np.where(deviation < _LEAST_CONTRAST, 0, small / np.maximum(lengths, 1))


def find(
    features: tuple[np.ndarray, np.ndarray], grays: tuple[np.ndarray, np.ndarray]
) -> list[tuple[int, int, float]]:
    """Returns pairs of nearly the same image, one of each of two sets.

    Args:
        features: `(images, channels)` of both sets.
        grays: Of both, from `shrink`.

    Returns:
        (number in the second set, number in the first, correlation), the most alike
        first; at most one for each image of the second.
    """
    first, second = map(normalize, features)
    pairs: list[tuple[int, int, float]] = []
    start = 0
    for numbers, _ in find_nearest(second, first, _CANDIDATES):
        own = grays[1][start : start + len(numbers)]
        mirrored = own.reshape(-1, _GRAY_PX, _GRAY_PX)[:, :, ::-1].reshape(own.shape)
        candidates = grays[0][numbers]
        alike = np.maximum(
            np.einsum("nc,nkc->nk", own, candidates),
            np.einsum("nc,nkc->nk", mirrored, candidates),
        )
        best = alike.argmax(axis=1)
        for row, place in enumerate(best.tolist()):
            if alike[row, place] >= LEAST_CORRELATION:
                number = int(numbers[row, place])
                pairs.append((start + row, number, float(alike[row, place])))
        start += len(numbers)
    return sorted(pairs, key=lambda pair: -pair[2])


def tell(
    pairs: Sequence[tuple[int, int, float]],
    names: tuple[Sequence[str], Sequence[str]],
    most: int,
) -> list[str]:
    """Returns lines about pairs: the names of both images.

    Args:
        pairs: From `find`.
        names: Of both sets; empty where images have none.
        most: How many pairs are told.
    """

    def name(part: int, number: int) -> str:
        return names[part][number] if names[part] else f"image {number}"

    return [
        f"{name(1, second)} is nearly {name(0, first)} ({alike:.1%})"
        for second, first, alike in pairs[:most]
    ]
