"""The heads of UPerNet: the decoder, and the auxiliary head that training adds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_convnext.layers import BatchNormalization, Dropout
from keras_convnext.segmentation.pooling import AdaptiveAveragePooling2D
from keras_convnext.segmentation.pyramid_conv import PyramidConv2D
from keras_convnext.segmentation.resizing import ResizeLike

# Source: arXiv:1612.01105, section 3.2.
POOL_SIZES = (1, 2, 3, 6)
CHANNELS = 512
AUXILIARY_CHANNELS = 256
# Source: mmsegmentation 1.2.2, configs/_base_/models/upernet_convnext.py.
DROPOUT_RATE = 0.1
Seeds = Iterator[int | None]


def upernet_head(
    levels: Sequence[Any],
    classes: int,
    *,
    channels: int = CHANNELS,
    dropout_rate: float = DROPOUT_RATE,
    dtype: Any = None,
    seeds: Seeds | None = None,
) -> Any:
    """Decodes feature maps to logits at the size of the finest.

    Args:
        levels: Four maps, fine to coarse: `(batch, height / 2**i, width / 2**i, c_i)`.
        classes: Number of classes.
        channels: Of the maps inside.
        dropout_rate: Share of the channels dropped before the classifier in training.
        dtype: Dtype policy of the layers; the classifier computes in float32.
        seeds: Of initial kernels and dropout, one after another; None for any.

    Returns:
        Logits `(batch, height, width, classes)` of the finest map's size.

    Source: arXiv:1807.10221, section 3.1, as mmsegmentation 1.2.2 has it.
    """
    seeds = seeds or itertools.repeat(None)

    def convolve(x: Any, kernel: int, name: str) -> Any:
        return conv_norm_relu(x, channels, kernel, name, dtype, next(seeds))

    *fine, coarse = levels
    pooled = [coarse]
    for size in POOL_SIZES:
        x = AdaptiveAveragePooling2D(size, dtype=dtype, name=f"decode_pool{size}")(
            coarse
        )
        pooled.append(convolve(x, 1, f"decode_pool{size}"))
    top = convolve(pooled, 3, "decode_bottleneck")
    maps = [top]
    for index in reversed(range(len(fine))):
        x = convolve(fine[index], 1, f"decode_lateral{index}")
        resize = ResizeLike(dtype=dtype, name=f"decode_lateral{index}_resize")
        above = resize(maps[0], x)
        x = keras.layers.Add(dtype=dtype, name=f"decode_lateral{index}_add")([x, above])
        maps.insert(0, x)
    # The coarsest goes on as it is.
    for index in range(len(fine)):
        maps[index] = convolve(maps[index], 3, f"decode_fpn{index}")
    x = convolve(maps, 3, "decode_fuse")
    return _classifier(x, classes, dropout_rate, "decode", seeds)


def fcn_head(
    level: Any,
    classes: int,
    *,
    channels: int = AUXILIARY_CHANNELS,
    dropout_rate: float = DROPOUT_RATE,
    dtype: Any = None,
    seeds: Seeds | None = None,
) -> Any:
    """Decodes one feature map to logits of its size.

    Args:
        level: A map `(batch, height, width, c)`; UPerNet's auxiliary head takes the
            third of four.
        classes: Number of classes.
        channels: Of the map inside.
        dropout_rate: Share of the channels dropped before the classifier in training.
        dtype: Dtype policy of the layers; the classifier computes in float32.
        seeds: Of initial kernels and dropout, one after another; None for any.

    Returns:
        Logits `(batch, height, width, classes)`.

    Source: arXiv:1411.4038, as mmsegmentation 1.2.2 has it.
    """
    seeds = seeds or itertools.repeat(None)
    x = conv_norm_relu(level, channels, 3, "auxiliary", dtype, next(seeds))
    return _classifier(x, classes, dropout_rate, "auxiliary", seeds)


def conv_norm_relu(
    x: Any, channels: int, kernel: int, name: str, dtype: Any, seed: int | None = None
) -> Any:
    """Applies a convolution without bias, batch normalization and ReLU.

    A list of maps is taken as one map, at the size of the first.
    """
    convolution = PyramidConv2D if isinstance(x, list) else keras.layers.Conv2D
    x = convolution(
        channels,
        kernel,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, "fan_out", "untruncated_normal", seed
        ),
        dtype=dtype,
        name=f"{name}_conv",
    )(x)
    # torch's momentum 0.1 and epsilon; Keras' are 0.99 and 1e-3.
    x = BatchNormalization(
        momentum=0.9, epsilon=1e-5, dtype=dtype, name=f"{name}_norm"
    )(x)
    return keras.layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)


def _classifier(
    x: Any, classes: int, dropout_rate: float, name: str, seeds: Seeds
) -> Any:
    # Whole channels of an image are dropped; each replica drops its own.
    shape = (None, 1, 1, None)
    x = Dropout(dropout_rate, shape, next(seeds), name=f"{name}_dropout")(x)
    return keras.layers.Conv2D(
        classes,
        1,
        kernel_initializer=keras.initializers.RandomNormal(0.0, 0.01, next(seeds)),
        dtype="float32",
        name=f"{name}_logits",
    )(x)
