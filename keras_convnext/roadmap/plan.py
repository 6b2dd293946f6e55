"""What a design is made of, convolution by convolution; built and counted from here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from keras_convnext.roadmap.designs import EXPANSION, Design


@dataclass(frozen=True)
class Convolution:
    """One convolution and what follows it.

    Attributes:
        role: Its name within its block.
        kernel_px: Side of the kernel.
        stride_px: Step between positions.
        inputs: Channels that come in.
        outputs: Channels that go out.
        depthwise: Whether each channel is convolved by itself.
        bias: Whether a vector is added.
        norm: Whether a norm follows.
        activation: Whether an activation follows (after the norm).
    """

    role: str
    kernel_px: int
    stride_px: int
    inputs: int
    outputs: int
    depthwise: bool = False
    bias: bool = False
    norm: bool = False
    activation: bool = False


@dataclass(frozen=True)
class Block:
    """One residual block.

    Attributes:
        stage: Number of its stage, from 0.
        index: Number within the stage, from 0.
        branch: The convolutions of the residual branch, in order.
        shortcut: The convolution on the way around it; None where the input can
            be added as it is.
        activation: Whether an activation follows the addition.
    """

    stage: int
    index: int
    branch: tuple[Convolution, ...]
    shortcut: Convolution | None
    activation: bool


def stem(design: Design, patch_size: int = 4) -> tuple[Convolution, bool]:
    """Returns the stem's convolution, and whether a max-pool of stride 2 follows.

    ResNet's stem (7x7 of stride 2, then the pool) at a `patch_size` of 4; for
    smaller patches its kernel shrinks with them, and at 1 the pool goes.

    Args:
        design: The design.
        patch_size: Pixels of the image that one position after the stem stands
            for.
    """
    if design.stem == "patchify":
        # Section 2.2 puts one convolution in the place of the whole stem; the norm
        # behind it comes with the separate downsampling (section 2.6).
        return (
            Convolution("conv", patch_size, patch_size, 3, design.width, bias=True),
            False,
        )
    pooled = patch_size % 2 == 0
    stride_px = patch_size // 2 if pooled else patch_size
    kernel_px = max(3, 2 * patch_size - 1)
    return (
        Convolution(
            "conv",
            kernel_px,
            stride_px,
            3,
            design.width,
            bias=design.norm != "batch",
            norm=True,
            activation=True,
        ),
        pooled,
    )


def blocks(design: Design) -> Iterator[Block]:
    """Yields the residual blocks of a design that halves the image inside them."""
    inputs = design.width
    for stage, depth in enumerate(design.depths):
        for index in range(depth):
            block = _block(design, stage, index, inputs)
            yield block
            inputs = block.branch[-1].outputs


def outputs(design: Design) -> int:
    """Returns the channels of the last feature map."""
    narrow = design.widths[-1]
    return narrow * EXPANSION if design.bottleneck == "narrow" else narrow


def _block(design: Design, stage: int, index: int, inputs: int) -> Block:
    narrow = design.widths[stage]
    wide = narrow * EXPANSION
    inner, outer = (wide, narrow) if design.bottleneck == "inverted" else (narrow, wide)
    stride_px = 2 if stage and index == 0 else 1
    first, last = (
        ("expand", "project")
        if design.bottleneck == "inverted"
        else ("reduce", "expand")
    )
    # Where the halving sits decides the cost: the spatial convolution has the stride,
    # so a 1x1 convolution before it still works on the larger image.
    order = {
        "middle": ((first, inner), ("spatial", inner), (last, outer)),
        "first": (("spatial", inputs), (first, inner), (last, outer)),
    }[design.spatial_place]
    branch = []
    channels = inputs
    for role, width in order:
        branch.append(_convolution(design, role, channels, width, stride_px, last))
        channels = width
    shortcut = None
    if stride_px > 1 or inputs != outer:
        norm = design.norms == "all"
        shortcut = Convolution(
            "shortcut", 1, stride_px, inputs, outer, bias=_bias(design, norm), norm=norm
        )
    return Block(stage, index, tuple(branch), shortcut, design.activations == "all")


def _convolution(
    design: Design, role: str, inputs: int, width: int, stride_px: int, last: str
) -> Convolution:
    is_spatial = role == "spatial"
    depthwise = is_spatial and design.spatial == "depthwise"
    norm = design.norms == "all" or is_spatial
    # The last convolution's activation comes after the addition. Where there is only
    # one, it is the one before that.
    if design.activations == "all":
        activation = role != last
    else:
        before_last = "expand" if design.bottleneck == "inverted" else "reduce"
        activation = role == (
            "spatial" if design.spatial_place == "middle" else before_last
        )
    return Convolution(
        ("dwconv" if depthwise else "conv") if is_spatial else role,
        design.kernel_px if is_spatial else 1,
        stride_px if is_spatial else 1,
        inputs,
        width,
        depthwise=depthwise,
        bias=_bias(design, norm),
        norm=norm,
        activation=activation,
    )


def _bias(design: Design, norm: bool) -> bool:
    # Batch norm subtracts what a bias would add to a channel; layer norm does not.
    return not (norm and design.norm == "batch")
