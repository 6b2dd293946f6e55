"""The parts of a ConvNeXt: stem, downsampling, block and head.

Each function takes a tensor of the functional API and returns the next one. What a
variant decides comes in its row; what a caller decides comes in `LayerFactory`.
"""

from __future__ import annotations

from typing import Any

from keras import layers

from keras_convnext.layer_factory import LayerFactory
from keras_convnext.layers import (
    DepthwiseConv2D,
    Dropout,
    GlobalResponseNormalization,
    LayerScale,
    Rematerialized,
    StochasticDepth,
)
from keras_convnext.variants import EXPANSION, StemConv

POOLS = {
    "avg": layers.GlobalAveragePooling2D,
    "max": layers.GlobalMaxPooling2D,
}


def stem(x: Any, factory: LayerFactory) -> Any:
    """Cuts the image into patches: `(batch, h, w, c)` to `(batch, h/4, w/4, width)`.

    The layers of one kind are numbered from the second on: `stem_conv`,
    `stem_conv2`.
    """
    seen = 0
    for part in factory.variant.stem:
        if part == "norm":
            x = factory.norm("stem_norm")(x)
        elif part == "gelu":
            x = factory.activation("stem_gelu")(x)
        elif isinstance(part, StemConv):
            seen += 1
            number = "" if seen == 1 else str(seen)
            if part.padding_px:
                # "same" would pad a stride-2 convolution on one side only.
                x = layers.ZeroPadding2D(
                    part.padding_px, name=f"stem_pad{number}", dtype=factory.dtype
                )(x)
            x = factory.conv(
                part.width or factory.variant.widths[0],
                part.kernel_px,
                f"stem_conv{number}",
                strides=part.stride_px,
            )(x)
    return x


def downsample(
    x: Any, factory: LayerFactory, stage: int, dilation: tuple[int, int]
) -> Any:
    """Halves the image between two stages: norm, then a 2x2 convolution.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        factory: What the layers are made with.
        stage: Number of the stage that follows, from 1.
        dilation: Of the stage before and of this one. Where they differ, the
            resolution is kept (stride 1) and the kernels spread instead.
    """
    before, after = dilation
    kept = {"strides": 1, "padding": "same", "dilation_rate": before}
    halved = {"strides": 2}
    x = factory.norm(f"stage{stage}_downsample_norm")(x)
    return factory.conv(
        factory.variant.widths[stage],
        2,
        f"stage{stage}_downsample_conv",
        **(halved if before == after == 1 else kept),
    )(x)


def branch(
    factory: LayerFactory, stage: int, name: str, dilation: int
) -> list[layers.Layer]:
    """Returns the residual branch of a block, in order.

    Depthwise convolution, norm, expansion to four times the width, activation,
    (GRN,) projection back, (layer scale).

    Args:
        factory: What the layers are made with.
        stage: Number of the stage, from 0.
        name: The block's name; the layers are called after it.
        dilation: Distance between the taps of the depthwise kernel.
    """
    variant, dtype = factory.variant, factory.dtype
    width, kernel_px = variant.widths[stage], variant.kernel_sizes[stage]
    chain = [
        # A grouped Conv2D computes the same and is tens of times slower on CPU.
        DepthwiseConv2D(
            kernel_px,
            padding="same",
            dilation_rate=dilation,
            depthwise_initializer=factory.kernel(),
            name=f"{name}_dwconv",
            dtype=dtype,
        ),
        factory.norm(f"{name}_norm"),
        factory.dense(EXPANSION * width, f"{name}_expand"),
        factory.activation(f"{name}_gelu"),
    ]
    if variant.grn:
        chain.append(GlobalResponseNormalization(name=f"{name}_grn", dtype=dtype))
    chain.append(factory.dense(width, f"{name}_project"))
    if variant.layer_scale_init_value is not None:
        chain.append(
            LayerScale(
                variant.layer_scale_init_value, name=f"{name}_layer_scale", dtype=dtype
            )
        )
    return chain


def block(
    x: Any,
    factory: LayerFactory,
    stage: int,
    index: int,
    drop_rate: float,
    dilation: int = 1,
) -> Any:
    """Adds a residual branch to a tensor, whose shape does not change.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        factory: What the layers are made with.
        stage: Number of the stage, from 0.
        index: Number of the block in its stage, from 0.
        drop_rate: Probability that stochastic depth drops the branch.
        dilation: Distance between the taps of the depthwise kernel.
    """
    name = f"stage{stage}_block{index}"
    chain = branch(factory, stage, name, dilation)
    if factory.remat:
        chain = [Rematerialized(chain, name=f"{name}_branch", dtype=factory.dtype)]
    y = x
    for layer in chain:
        y = layer(y)
    # Present at rate 0 too, so that a model's structure (and with it its weight
    # files) does not depend on the rate.
    y = StochasticDepth(
        drop_rate,
        seed=next(factory.seeds),
        name=f"{name}_stochastic_depth",
        dtype=factory.dtype,
    )(y)
    return layers.Add(name=f"{name}_add", dtype=factory.dtype)([x, y])


def head(
    x: Any, factory: LayerFactory, parts: tuple[str, ...], pooling: str | None
) -> Any:
    """Turns the last feature map into one vector an image.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        factory: What the layers are made with.
        parts: The words "pool", "norm" and "hidden" in order.
        pooling: "avg" or "max"; `None` leaves the pooling out.
    """
    dtype = factory.head_dtype
    for part in parts:
        if part == "pool" and pooling:
            x = POOLS[pooling](name="head_pool", dtype=dtype)(x)
        elif part == "norm":
            x = factory.norm("head_norm", dtype)(x)
        elif part == "hidden":
            x = layers.Dense(
                factory.variant.widths[-1],
                kernel_initializer=factory.kernel(),
                name="head_hidden",
                dtype=dtype,
            )(x)
            x = factory.activation("head_hidden_gelu", dtype)(x)
    return x


def classifier(
    x: Any,
    factory: LayerFactory,
    classes: int,
    activation: Any,
    dropout_rate: float,
    init_scale: float,
) -> Any:
    """Turns vectors `(batch, channels)` into scores `(batch, classes)`.

    Args:
        x: Tensor `(batch, channels)`.
        factory: What the layers are made with.
        classes: Number of classes.
        activation: Of the scores; `None` for logits.
        dropout_rate: Share of the entries of `x` dropped while training.
        init_scale: Factor on the kernel's initial values; 0.001 for fine-tuning.
    """
    dtype = factory.head_dtype
    if dropout_rate:
        x = Dropout(
            dropout_rate, seed=next(factory.seeds), name="head_dropout", dtype=dtype
        )(x)
    return layers.Dense(
        classes,
        activation=activation,
        kernel_initializer=factory.kernel(init_scale),
        name="head_dense",
        dtype=dtype,
    )(x)
