"""Masks of boxes, pasted into the image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np


def paste_masks(
    masks: Any, boxes: Any, height: int, width: int, threshold: float = 0.5
) -> np.ndarray:
    """Returns each object's mask at the size of the image.

    A mask is stretched over its box: bilinear, with half-pixel centers, and nothing
    outside.

    Args:
        masks: `(objects, h, w)`: probabilities.
        boxes: `(objects, 4)`: y0, x0, y1, x1 in pixels of the image. For an image that
            was resized before, divide the boxes by the factor, and paste into the
            image's own size.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        threshold: Probability from which on a pixel belongs to the object.

    Returns:
        bool `(objects, height, width)`.

    Raises:
        ValueError: There are other numbers of masks than of boxes.

    Source: arXiv:1703.06870, section 3.1, as mmdetection 3.3.0 has it.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.detection import paste_masks
        >>> mask = np.array([[[1.0, 0.0], [1.0, 0.0]]])
        >>> paste_masks(mask, [[0, 1, 2, 5]], 2, 6)[0, 0].astype(int).tolist()
        [0, 1, 1, 0, 0, 0]
    """
    pasted = np.zeros((len(masks), height, width), bool)
    parts = mask_parts(masks, boxes, height, width, threshold)
    for target, (rows, columns, part) in zip(pasted, parts, strict=True):
        target[rows, columns] = part
    return pasted


def mask_parts(
    masks: Any, boxes: Any, height: int, width: int, threshold: float = 0.5
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Yields of each object the part of the image that its mask may reach.

    Arguments are those of `paste_masks`, of which this is all but the zeros: little
    memory, however large the image.

    Yields:
        The part's rows, its columns, and bool `(rows, columns)`.

    Raises:
        ValueError: There are other numbers of masks than of boxes.
    """
    masks = np.asarray(masks, np.float32)
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    if len(masks) != len(boxes):
        raise ValueError(f"There are {len(masks)} masks and {len(boxes)} boxes.")
    for mask, (y0, x0, y1, x1) in zip(masks, boxes, strict=True):
        rows, row_weights = _weights(y0, y1, mask.shape[0], height)
        columns, column_weights = _weights(x0, x1, mask.shape[1], width)
        yield rows, columns, row_weights @ mask @ column_weights.T >= threshold


def masks_of_parts(masks: np.ndarray, boxes: Any, parts: Any) -> np.ndarray:
    """Returns the masks of boxes that were cut off: of their parts, as many cells.

    Args:
        masks: float32 `(objects, h, w)`: probabilities within the boxes.
        boxes: `(objects, 4)`: y0, x0, y1, x1.
        parts: `(objects, 4)`: what is left of each box, with an area.
    """
    found = masks.copy()
    for number in np.flatnonzero((boxes != parts).any(axis=1)):
        box, part = boxes[number], parts[number]
        # The cells of the part are the pixels that the box's mask is stretched over.
        scales = np.tile(masks.shape[1:] / (part[2:] - part[:2]), 2)
        y0, x0, y1, x1 = (box - np.tile(part[:2], 2)) * scales
        _, rows = _weights(y0, y1, masks.shape[1], masks.shape[1])
        _, columns = _weights(x0, x1, masks.shape[2], masks.shape[2])
        found[number] = rows @ masks[number] @ columns.T
    return found


def _weights(
    start: np.float32, end: np.float32, cells: int, length: int
) -> tuple[slice, np.ndarray]:
    """Returns the pixels that a mask reaches in one direction.

    Also returns how much of each of its cells they get, `(pixels, cells)`.
    """
    if not end > start:
        return slice(0, 0), np.zeros((0, cells), np.float32)
    # Half a cell outside of the box, where its outermost cells fade away.
    margin = (end - start) / cells / 2 + 1
    first = min(max(math.floor(start - margin), 0), length)
    last = min(max(math.ceil(end + margin), first), length)
    pixels = np.arange(first, last, dtype=np.float32)
    positions = (pixels + 0.5 - start) / (end - start) * cells - 0.5
    distances = np.abs(positions[:, None] - np.arange(cells, dtype=np.float32))
    return slice(first, last), np.maximum(0, 1 - distances)
