"""Feature pyramids: what detectors and segmenters take from a ConvNeXt."""

from __future__ import annotations

import re
from typing import Any

import keras

from keras_convnext.layers import LayerNorm
from keras_convnext.merged_weights import inner_layers


def pyramid(
    model: keras.Model,
    norms: bool = False,
    name: str | None = None,
    *,
    by_stride: bool = False,
) -> keras.Model:
    """Returns a model of the feature maps at the end of each stage.

    It shares its layers and weights with `model`. The attribute `pyramid_outputs`
    maps "P2".."P5" to the outputs' tensors: P`n` is stage `n - 2`, one position of
    which stands for 2**n pixels (for less in the late stages of a model built with
    `output_stride` 8 or 16, and for less in all with a `patch_size` below 4). An
    isotropic network has one map, "P4". KerasHub's RetinaNet and DeepLabV3 take the
    result as their image encoder.

    Args:
        model: What a builder returned, with or without its top.
        norms: Whether each map goes through a LayerNorm of its own, new and named
            `pyramid_norm_p2`.., as in Meta's detection backbones.
        name: Of the new model; the old one's with "_pyramid" unless given.
        by_stride: Whether `n` counts halvings and not stages, as KerasHub's
            DeepLabV3 assumes: with `output_stride` 16, "P4" is then the last stage's
            map and there is no "P5". Without dilation it is the same.

    Returns:
        A functional model of images `(batch, height, width, channels)`, as `model`
        takes them, whose output is a dictionary by level: P`n` is
        `(batch, height / 2**n, width / 2**n, stage's channels)`, rounded down.

    Raises:
        ValueError: `model` is not a ConvNeXt of this library.

    Source: arXiv:2201.03545, section 3.2 and appendix A.3.

    Example:
        >>> import keras_convnext
        >>> backbone = keras_convnext.create("convnext_atto", input_shape=(64, 64, 3))
        >>> levels = keras_convnext.pyramid(backbone).pyramid_outputs
        >>> list(levels), tuple(levels["P2"].shape)
        (['P2', 'P3', 'P4', 'P5'], (None, 16, 16, 40))
    """
    ends = _last_layers(model)
    if not ends:
        raise ValueError(
            "pyramid wants a model built by keras_convnext, whose layers are called "
            f"stage0_block0_add and so on; {model.name!r} has no such layer."
            + _way_in(model)
        )
    outputs: dict[str, Any] = {}
    for level, end in _levels(model, ends, by_stride).items():
        x = end.output
        if norms:
            norm = LayerNorm(
                name=f"pyramid_norm_{level.lower()}", dtype=end.dtype_policy
            )
            x = norm(x)
        outputs[level] = x
    return FeaturePyramid(
        inputs=model.input, outputs=outputs, name=name or f"{model.name}_pyramid"
    )


def _way_in(model: keras.Model) -> str:
    """Says which model inside of `model` is a ConvNeXt, if one is."""
    for layer in inner_layers(model):
        is_inside = isinstance(layer, keras.Model) and layer is not model
        if is_inside and _last_layers(layer):
            return f" The model inside of it that is one is {layer.name!r}: give it."
    return ""


def _levels(
    model: keras.Model, ends: list[keras.layers.Layer], by_stride: bool
) -> dict[str, keras.layers.Layer]:
    """Names the stages' last layers, "P2" and up."""
    if len(ends) == 1:
        return {"P4": ends[0]}
    level = 2
    levels = {"P2": ends[0]}
    for stage, end in enumerate(ends[1:], start=1):
        halving = model.get_layer(f"stage{stage}_downsample_conv")
        level += 1 if halving.strides[0] == 2 or not by_stride else 0
        levels[f"P{level}"] = end
    return levels


def _last_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the last layer of each stage, in order."""
    ends: dict[int, tuple[int, keras.layers.Layer]] = {}
    # Not the layers of models inside this one: their tensors are not its own.
    for layer in model.layers:
        match = re.fullmatch(r"stage(\d+)_block(\d+)_add", layer.name)
        if match:
            stage, block = map(int, match.groups())
            if stage not in ends or block > ends[stage][0]:
                ends[stage] = (block, layer)
    return [ends[stage][1] for stage in sorted(ends)]


@keras.saving.register_keras_serializable(package="keras_convnext")
class FeaturePyramid(keras.Model):
    """A functional model whose outputs also go by `pyramid_outputs`."""

    @property
    def pyramid_outputs(self) -> dict[str, Any]:
        """The feature maps' tensors by level, "P2" to "P5"."""
        return dict(self.output)
