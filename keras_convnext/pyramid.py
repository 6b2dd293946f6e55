"""Feature pyramids: what detectors and segmenters take from a ConvNeXt."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.layers import LayerNorm
from keras_convnext.models import layers_by_name


def pyramid(
    model: keras.Model, norms: bool = False, name: str | None = None
) -> keras.Model:
    """Returns a model of the feature maps at the end of each stage.

    It shares its layers and weights with `model`. The attribute `pyramid_outputs`
    maps "P2".."P5" to the outputs' tensors: P`n` is stage `n - 2`, one position of
    which stands for 2**n pixels (for less in the late stages of a model built with
    `output_stride` 8 or 16). An isotropic network has one map, "P4". KerasHub's
    RetinaNet and DeepLabV3 take the result as their image encoder.

    Args:
        model: What a builder returned, with or without its top.
        norms: Whether each map goes through a LayerNorm of its own, new and named
            `pyramid_norm_p2`.., as in Meta's detection backbones.
        name: Of the new model; the old one's with "_pyramid" unless given.

    Raises:
        ValueError: `model` is not a ConvNeXt of this library.

    Source: arXiv:2201.03545, section 3.2 and appendix A.3.
    """
    ends = _last_layers(model)
    if not ends:
        raise ValueError(
            "pyramid wants a model built by keras_convnext, whose layers are called "
            f"stage0_block0_add and so on; {model.name!r} has no such layer."
        )
    levels = ["P4"] if len(ends) == 1 else [f"P{2 + i}" for i in range(len(ends))]
    outputs: dict[str, Any] = {}
    for level, end in zip(levels, ends, strict=True):
        x = end.output
        if norms:
            x = LayerNorm(name=f"pyramid_norm_{level.lower()}", dtype=end.dtype_policy)(
                x
            )
        outputs[level] = x
    result = FeaturePyramid(
        inputs=model.input, outputs=outputs, name=name or f"{model.name}_pyramid"
    )
    return result


def _last_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the last layer of each stage, in order."""
    last: dict[str, keras.layers.Layer] = {}
    for name, layer in layers_by_name(model).items():
        stage, _, rest = name.partition("_")
        if stage.startswith("stage") and rest.endswith("_add"):
            last[stage] = layer
    return [last[stage] for stage in sorted(last)]


@keras.saving.register_keras_serializable(package="keras_convnext")
class FeaturePyramid(keras.Model):
    """A functional model whose outputs also go by `pyramid_outputs`."""

    @property
    def pyramid_outputs(self) -> dict[str, Any]:
        """The feature maps' tensors by level, "P2" to "P5"."""
        return dict(self.output)
