"""What a task's heads add to the backbone: numbers kept for each image, parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from keras_convnext.detection import box_heads, mask_head, training_settings
from keras_convnext.pretraining.fcmae import DECODER_WIDTH
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
# Of V2's variants. A block's tensors that its backward pass needs, in its widths.
_STEM_PX, _BLOCK_WIDTHS = 4, 22


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


def of_detector(
    recipe: Recipe, widths: Sequence[int], areas: Sequence[int], classes: int
) -> HeadSize:
    """Returns what the pyramid and the heads of a detector with masks need, at least.

    It is counted and not measured: inputs of layers that learn, and outputs of ReLUs.

    Args:
        recipe: Its fields of detection are used.
        widths: As in `of_upernet`.
        areas: As there.
        classes: As there.
    """
    channels, units = recipe.pyramid_channels, recipe.head_units
    stages = len(training_settings(recipe.detector).box_ious)
    conv = (9 * channels + 1) * channels
    flat = box_heads.SIZE**2 * channels
    # Two dense layers, or in a cascade four normalized convolutions and a dense layer.
    inner = (units + 1) * units if stages == 1 else 4 * (conv + channels)
    box = inner + (flat + 1) * units + (units + 1) * (5 * classes + 1)
    mask = 4 * conv + (4 * channels + 1) * channels + (channels + 1) * classes
    pyramid = (sum(widths) + len(widths)) * channels + len(widths) * conv
    proposals = conv + 15 * (channels + 1)  # A logit and four sides of three anchors.
    norms = sum(width * area for width, area in zip(widths, areas, strict=True))
    of_boxes = recipe.sampled_boxes * flat * (1 if stages == 1 else 9)
    cells = recipe.sampled_boxes // 4 * mask_head.SIZE**2
    of_masks = cells * channels * (5 + 4)  # Twice as fine at the end.
    return HeadSize(
        channels * sum(areas) + _NORM_MAPS * norms + stages * (of_boxes + of_masks),
        stages * 4 * cells * classes,
        pyramid + proposals + stages * (box + mask) + 2 * sum(widths),
    )


def of_fcmae(
    recipe: Recipe, widths: Sequence[int], areas: Sequence[int], classes: int
) -> HeadSize:
    """Returns what FCMAE's decoder needs, which looks at all patches.

    Args:
        recipe: Its `mask_ratio` is used.
        widths: As in `of_upernet`.
        areas: As there.
        classes: As there.
    """
    del areas, classes
    side = 2 ** (len(widths) - 1) * (recipe.patch_size or _STEM_PX)
    patches, numbers = (recipe.size_px // side) ** 2, 3 * side**2
    masked = math.ceil(patches * recipe.mask_ratio)
    width = DECODER_WIDTH
    block = (7 * 7 + 1 + 2 + 8 * width + 4 + 8 + 1) * width
    ends = (widths[-1] + 1) * width + (width + 1) * numbers + width
    return HeadSize(_BLOCK_WIDTHS * width * patches, 3 * masked * numbers, block + ends)


Sizes = Callable[[Recipe, Sequence[int], Sequence[int], int], HeadSize]
HEADS: dict[str, Sizes] = {
    "segmentation": of_upernet,
    "detection": of_detector,
    "masked_autoencoding": of_fcmae,
}
