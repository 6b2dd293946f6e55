"""Logits of large images, window by window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def sliding_logits(
    predict: Callable[[np.ndarray], Any],
    images: np.ndarray,
    window: tuple[int, int] = (512, 512),
    stride: tuple[int, int] = (341, 341),
) -> np.ndarray:
    """Computes logits over windows that overlap, and averages them.

    Networks that were trained on crops are most accurate on crops. Windows begin every
    `stride` pixels; the last ones are moved back inside. An image smaller than a window
    is one window, unpadded.

    Args:
        predict: From images `(batch, h, w, channels)` to logits `(batch, h, w,
            classes)`, such as `model.predict_on_batch`.
        images: `(batch, height, width, channels)`, as `predict` takes them.
        window: Height and width in pixels; published models: the training crop.
        stride: Between windows in pixels; published models: two thirds of the crop.

    Returns:
        float32 `(batch, height, width, classes)`.

    Raises:
        ValueError: A stride is below 1 or longer than its window.

    Source: github.com/open-mmlab/mmsegmentation 1.2.2, its EncoderDecoder.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.segmentation import sliding_logits
        >>> images = np.ones((1, 9, 7, 2), "float32")
        >>> sliding_logits(lambda x: 2 * x, images, (4, 4), (3, 3))[0, 8, 6].tolist()
        [2.0, 2.0]
    """
    if not all(0 < step <= side for step, side in zip(stride, window, strict=True)):
        raise ValueError(
            f"stride {stride} must be at least 1 and at most the window {window}: "
            "pixels between windows would get no logits"
        )
    height, width = images.shape[1:3]
    total: np.ndarray | None = None
    counts = np.zeros((1, height, width, 1), np.float32)
    for top in window_starts(height, window[0], stride[0]):
        for left in window_starts(width, window[1], stride[1]):
            rows = slice(top, min(top + window[0], height))
            columns = slice(left, min(left + window[1], width))
            logits = np.asarray(predict(images[:, rows, columns]), np.float32)
            if total is None:
                shape = (len(images), height, width, logits.shape[-1])
                total = np.zeros(shape, np.float32)
            total[:, rows, columns] += logits
            counts[:, rows, columns] += 1
    assert total is not None
    return total / counts


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Returns the windows' first positions; the last one ends with the image.

    Args:
        length: Of the side, in pixels.
        window: Its length along the side.
        stride: Between windows.
    """
    count = max(length - window + stride - 1, 0) // stride + 1
    last = max(length - window, 0)
    return [min(index * stride, last) for index in range(count)]
