"""The feature pyramid network: maps of equal width, each with what coarser ones saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

CHANNELS = 256


def fpn(
    levels: Sequence[Any], channels: int = CHANNELS, dtype: Any = None
) -> list[Any]:
    """Builds a feature pyramid network.

    Args:
        levels: Maps `(batch, h, w, c_i)`, fine to coarse, each of half the height and
            width of the one before.
        channels: Of the maps that it returns.
        dtype: Dtype policy of the layers.

    Returns:
        Maps `(batch, h, w, channels)`, one for each level, and one more: every second
        position of the coarsest.

    Source: arXiv:1612.03144, section 3, as mmdetection 3.3.0 has it.
    """

    def conv(x: Any, side: int, name: str) -> Any:
        return keras.layers.Conv2D(
            channels,
            side,
            padding="same",
            kernel_initializer="glorot_uniform",
            dtype=dtype,
            name=name,
        )(x)

    maps = [conv(x, 1, f"fpn_lateral{index}") for index, x in enumerate(levels)]
    for index in reversed(range(len(maps) - 1)):
        above = keras.layers.UpSampling2D(
            2, interpolation="nearest", dtype=dtype, name=f"fpn_upsample{index + 1}"
        )(maps[index + 1])
        maps[index] = keras.layers.Add(dtype=dtype, name=f"fpn_add{index}")(
            [maps[index], above]
        )
    maps = [conv(x, 3, f"fpn_output{index}") for index, x in enumerate(maps)]
    coarsest = keras.layers.MaxPooling2D(
        1, strides=2, dtype=dtype, name=f"fpn_output{len(maps)}"
    )(maps[-1])
    return [*maps, coarsest]
