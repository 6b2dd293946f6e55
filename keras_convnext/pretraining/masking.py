"""Which patches of an image stay visible: the same number in every image.

A mask is an order: the numbers of all patches, `(batch, patches)`, of which the first
few are visible and the others masked. The constant number gives everything that is
made of the visible patches a static shape.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

# `10 * (1 - 0.9)` is a little less than 1.
_ROUNDING = 1e-6


def count_visible(patches: int, mask_ratio: float) -> int:
    """Returns how many of an image's patches stay visible, rounded down.

    Args:
        patches: Squares of pixels that an image is cut into.
        mask_ratio: Share of them that is masked, in (0, 1).

    Raises:
        ValueError: None would be visible, or none masked.

    Source: arXiv:2301.00808, section 3.1; the official code's `gen_random_mask`.

    Example:
        >>> from keras_convnext.pretraining import count_visible
        >>> count_visible(49, 0.6)
        19
    """
    visible = 0
    if 0 < mask_ratio < 1:
        visible = math.floor(patches * (1 - mask_ratio) + _ROUNDING)
    if not 0 < visible < patches:
        raise ValueError(
            f"mask_ratio={mask_ratio} of {patches} patches leaves {visible} visible; "
            "at least one is to be visible and one masked: take a larger image or "
            "another mask_ratio."
        )
    return visible


def draw_orders(batch: Any, patches: int, seed: Any = None) -> Any:
    """Returns a random order of the patches for each image.

    Args:
        batch: How many images there are.
        patches: Squares of pixels that an image is cut into, numbered row by row.
        seed: A number, or a `keras.random.SeedGenerator`, which gives other orders at
            each call; None for no fixed one.

    Returns:
        int32 `(batch, patches)`; each row holds every number below `patches` once.

    Source: arXiv:2301.00808, section 3.1.

    Example:
        >>> from keras_convnext.pretraining import draw_orders
        >>> sorted(draw_orders(2, 4, seed=1)[0].numpy().tolist())
        [0, 1, 2, 3]
    """
    noise = keras.random.uniform((batch, patches), seed=seed)
    return ops.cast(ops.argsort(noise, axis=1), "int32")
