"""Lets a stem that was trained on one number of channels take another."""

from __future__ import annotations

import numpy as np


def adapt_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Returns a stem's kernel for images of another number of channels.

    The kernel's channels are repeated in turn and scaled so that an image whose
    channels are all alike gives what it gave before; for one channel that is their
    sum.

    Args:
        kernel: `(height, width, in, out)`.
        channels: What `in` is to be.

    Source: timm's adapt_input_conv.
    """
    before = kernel.shape[2]
    kernel = kernel.astype(np.float32)
    if channels == 1:
        return np.asarray(kernel.sum(axis=2, keepdims=True))
    repeated = np.take(kernel, np.arange(channels) % before, axis=2)
    return np.asarray(repeated * (before / channels))
