"""What a task's heads add to the backbone: numbers kept for each image, parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from keras_convnext.segmentation.heads import POOL_SIZES

from ..recipes.recipe import Recipe

# Of UPerNet, measured on convnext_atto at 256 px with 64 and 256 channels inside, and 2
# and 150 classes. Maps of the finest level's area that the decoder keeps:
_DECODER_MAPS = 18
# Each level's output norm has its input and its output.
_NORM_MAPS = 2
# Numbers of a pixel and class, of both heads together; of a pixel besides.
_LOGITS = 4
_OF_PIXEL = 80


class HeadSize(NamedTuple):
    """What heads need.

    Attributes:
        maps: Numbers of the compute dtype that a step keeps for an image.
        pixels: Numbers in float32 that it keeps for an image.
        parameters: Trainable ones.
    """

    maps: int = 0
    pixels: int = 0
    parameters: int = 0


def no_heads(*_: object) -> HeadSize:
    """Returns what a classifier needs beside its variant: nothing that counts."""
    return HeadSize()


def of_upernet(
    recipe: Recipe, widths: Sequence[int], areas: Sequence[int], classes: int
) -> HeadSize:
    """Returns what UPerNet's decoder and auxiliary head need.

    Args:
        recipe: Its `head_channels` and `size_px` are used.
        widths: Channels of each stage.
        areas: Positions of each stage's map.
        classes: Number of classes.
    """
    channels = recipe.head_channels
    norms = sum(width * area for width, area in zip(widths, areas, strict=True))
    maps = _DECODER_MAPS * channels * areas[0] + _NORM_MAPS * norms
    pixels = recipe.size_px**2 * (_LOGITS * classes + _OF_PIXEL)
    *fine, coarse = widths
    inputs = [
        *[coarse] * len(POOL_SIZES),  # 1x1, after pooling
        9 * (coarse + len(POOL_SIZES) * channels),
        *fine,  # 1x1, lateral
        *[9 * channels] * len(fine),
        9 * len(widths) * channels,
    ]
    half = channels // 2
    decoder = channels * (sum(inputs) + 2 * len(inputs)) + (channels + 1) * classes
    auxiliary = half * (9 * widths[2] + 2) + (half + 1) * classes
    return HeadSize(maps, pixels, decoder + auxiliary + 2 * sum(widths))


Sizes = Callable[[Recipe, Sequence[int], Sequence[int], int], HeadSize]
HEADS: dict[str, Sizes] = {"segmentation": of_upernet}
