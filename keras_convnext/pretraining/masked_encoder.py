"""A ConvNeXt's layers, run on the visible patches of an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_convnext.pretraining.visible_maps import VisibleMap
from keras_convnext.variants import StemConv, Variant

# From a patch's side in positions to the form of the maps with such patches.
MakeMap = Callable[[int], VisibleMap]


def check_stem(variant: Variant) -> None:
    """Makes sure that no position of a variant's stem sees two patches.

    Raises:
        ValueError: Its kernels overlap.
    """
    convolutions = [part for part in variant.stem if isinstance(part, StemConv)]
    if any(each.kernel_px > each.stride_px for each in convolutions):
        raise ValueError(
            f"FCMAE wants a stem whose kernels do not overlap, so that what is masked "
            f"stays unseen; {variant.name}'s do. convnextv2_atto to convnextv2_huge "
            "are the variants that it was made for."
        )


def patch_side(variant: Variant) -> int:
    """Returns the pixels of the image that one position of the last map stands for."""
    halvings = len(variant.depths) - 1
    return variant.stem_stride_px << halvings


def encode(
    encoder: keras.Model, variant: Variant, images: Any, make_map: MakeMap
) -> Any:
    """Returns the last feature map of the visible patches, in the form of the maps.

    Stem and downsampling never reach from one patch into another. Depthwise
    convolutions do, and see zeros where a neighbor is masked. Norms and dense layers
    look at one position. GRN looks at the visible positions of an image.

    Args:
        encoder: The layers, with the names that `models.build` gives.
        variant: The row that they were built from.
        images: Normalized, `(batch, height, width, channels)`.
        make_map: Gives the form of the maps.
    """
    layers = {layer.name: layer for layer in encoder.layers}
    side = patch_side(variant)
    x = make_map(side).take(images)
    for name, layer in layers.items():
        if name.startswith("stem_"):
            x = layer(x)
    side //= variant.stem_stride_px
    for stage, depth in enumerate(variant.depths):
        if stage:
            x = layers[f"stage{stage}_downsample_norm"](x)
            x = layers[f"stage{stage}_downsample_conv"](x)
            side //= 2
        visible = make_map(side)
        for index in range(depth):
            x = _block(layers, f"stage{stage}_block{index}_", x, visible)
    return x


def _block(
    layers: dict[str, keras.layers.Layer], name: str, x: Any, visible: VisibleMap
) -> Any:
    y = visible.convolve(layers[f"{name}dwconv"], x)
    for part in ("norm", "expand", "gelu"):
        y = layers[name + part](y)
    if f"{name}grn" in layers:
        y = layers[f"{name}grn"](visible.keep_visible(y))
    for part in ("project", "layer_scale", "stochastic_depth"):
        if name + part in layers:
            y = layers[name + part](y)
    return layers[f"{name}add"]([x, y])
