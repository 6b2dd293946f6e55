"""What a design costs: multiply-accumulates and parameters, without building it."""

from __future__ import annotations

from keras_convnext import variants
from keras_convnext.roadmap import plan
from keras_convnext.roadmap.designs import Design
from keras_convnext.roadmap.plan import Convolution
from keras_convnext.roadmap.shapes import as_variant


def multiply_accumulates(
    design: Design, size_px: int = 224, classes: int = 1000, patch_size: int = 4
) -> int:
    """Returns the multiplications of one forward pass, convolutions and dense layers.

    Norms, activations, biases, pooling, additions and layer scale are not counted.

    Args:
        design: The design.
        size_px: Side of the square input image, in pixels.
        classes: Classes of the head.
        patch_size: Side of the stem's patches, in pixels.

    Example:
        >>> from keras_convnext import roadmap
        >>> round(roadmap.multiply_accumulates(roadmap.design("patchify")) / 1e9, 2)
        4.42
    """
    if design.downsampling == "separate":
        variant = as_variant(design, patch_size)
        return variants.multiply_accumulates(variant, size_px, classes)
    convolution, pooled = plan.stem(design, patch_size)
    if design.stem == "patchify":
        side = size_px // patch_size
    else:
        side = _halved(size_px, convolution.stride_px)
    total = side**2 * _weights(convolution)
    side = _halved(side, 2) if pooled else side
    for block in plan.blocks(design):
        for convolution in block.branch:
            side = _halved(side, convolution.stride_px)
            total += side**2 * _weights(convolution)
        if block.shortcut is not None:
            total += side**2 * _weights(block.shortcut)
    return total + plan.outputs(design) * classes


def parameters(design: Design, classes: int = 1000, patch_size: int = 4) -> int:
    """Returns the trainable parameters.

    Args:
        design: The design.
        classes: Classes of the head.
        patch_size: Side of the stem's patches, in pixels.

    Example:
        >>> from keras_convnext import roadmap
        >>> roadmap.parameters(roadmap.design("patchify"))
        28622120
    """
    head = plan.outputs(design) * classes + classes
    if design.downsampling == "separate":
        return _convnext_parameters(design, patch_size) + head
    total = _parameters(plan.stem(design, patch_size)[0])
    for block in plan.blocks(design):
        total += sum(map(_parameters, block.branch))
        if block.shortcut is not None:
            total += _parameters(block.shortcut)
    return total + head


def _convnext_parameters(design: Design, patch_size: int) -> int:
    total, before = 0, 3
    for stage, (depth, width) in enumerate(
        zip(design.depths, design.widths, strict=True)
    ):
        kernel_px = 2 if stage else patch_size
        # A norm in front of each downsampling, one behind the stem.
        total += (
            kernel_px**2 * before * width + width + 2 * (before if stage else width)
        )
        depthwise = design.kernel_px**2 * width + width
        dense = 2 * 4 * width**2 + 4 * width + width
        norm, layer_scale = 2 * width, width
        total += depth * (depthwise + norm + dense + layer_scale)
        before = width
    return total + 2 * before


def _halved(side: int, stride_px: int) -> int:
    # Odd kernels, padded by half their side: rounded up.
    return -(-side // stride_px)


def _weights(convolution: Convolution) -> int:
    seen = 1 if convolution.depthwise else convolution.inputs
    return convolution.kernel_px**2 * seen * convolution.outputs


def _parameters(convolution: Convolution) -> int:
    vectors = convolution.bias + 2 * convolution.norm
    return _weights(convolution) + vectors * convolution.outputs
