"""UPerNet: a class for each pixel, from a ConvNeXt's four feature maps."""

from __future__ import annotations

import itertools
from typing import Any

import keras

from keras_convnext._pyramid import pyramid
from keras_convnext.models import SEEDS_OF_BACKBONE, build
from keras_convnext.segmentation.checkpoints import ADE20K_CLASSES, PREFIX, find
from keras_convnext.segmentation.heads import (
    CHANNELS,
    DROPOUT_RATE,
    fcn_head,
    upernet_head,
)
from keras_convnext.segmentation.resizing import ResizeLike
from keras_convnext.variants import find_variant

# What `create` says where no weights are given.
_BY_NAME = "by name"
# UPerNet's auxiliary head reads this level, of P2 to P5.
_AUXILIARY_LEVEL = 2


@keras.saving.register_keras_serializable(package="keras_convnext")
class SegmentationModel(keras.Model):
    """A functional model that labels pixels, with what its training needs beside it."""

    _auxiliary: tuple[Any, ...] = ()

    @property
    def auxiliary(self) -> Any:
        """The auxiliary head's logits `(batch, height, width, classes)`.

        A symbolic tensor over the same input: `keras.Model(model.input, [model.output,
        model.auxiliary])` is the model to train. None where there is no such head, and
        in a model that was saved: it serves training alone.
        """
        return self._auxiliary[0] if self._auxiliary else None


def UPerNet(
    backbone: str = "convnext_tiny",
    classes: int = ADE20K_CLASSES,
    *,
    weights: Any = None,
    input_shape: tuple[int | None, ...] = (512, 512, 3),
    auxiliary_head: bool = True,
    classifier_activation: Any = None,
    head_channels: int = CHANNELS,
    dropout_rate: float = DROPOUT_RATE,
    seed: int | None = None,
    name: str | None = None,
    dtype: Any = None,
    **overrides: Any,
) -> keras.Model:
    """Builds UPerNet on a ConvNeXt.

    Args:
        backbone: A variant with four stages, "convnext_tiny" or another of
            `keras_convnext.list_variants()`; or a published checkpoint of one,
            "convnext_tiny.fb_in1k", whose weights the backbone then starts from.
        classes: Classes that a pixel may have.
        weights: None, a file of such a network's weights (in the names of
            mmsegmentation, Meta, Hugging Face or segmentation-models-pytorch), or a
            published one, "upernet_convnext_tiny.ade20k_512".
        input_shape: `(height, width, channels)`; height and width may be None.
        auxiliary_head: Whether the head that helps training is made: `model.auxiliary`.
        classifier_activation: None for logits, "softmax" for probabilities.
        head_channels: Channels of the decoder's maps; the auxiliary head has half as
            many.
        dropout_rate: Probability of a channel to be dropped before the classifiers in
            training.
        seed: Makes initial weights, dropout and stochastic depth repeatable.
        name: The model's name, "upernet_" and the variant's unless given.
        dtype: Dtype policy of the layers; logits are float32.
        **overrides: Of the backbone, as its builder takes: `stochastic_depth_rate`,
            `layer_scale_init_value`, `remat`, `include_preprocessing` ...

    Returns:
        A functional `keras.Model`: images `(batch, height, width, channels)` in 0..255
        in, logits `(batch, height, width, classes)` out. Height and width need not be
        multiples of anything.

    Raises:
        ValueError: There is no such backbone, or it has no four stages.

    Source: arXiv:1807.10221; arXiv:2201.03545, section 3.3 and appendix A.3.

    Example:
        >>> import keras_convnext
        >>> model = keras_convnext.UPerNet("convnext_atto", 2, input_shape=(64, 96, 3))
        >>> model.output_shape
        (None, 64, 96, 2)
    """
    if isinstance(weights, str) and weights.startswith(PREFIX):
        weights = find(weights).weights
    architecture, _, tag = backbone.partition(".")
    network = build(
        find_variant(architecture),
        include_top=False,
        weights=tag or None,
        input_shape=input_shape,
        dtype=dtype,
        seed=seed,
        **overrides,
    )
    levels = list(pyramid(network, norms=True).pyramid_outputs.values())
    if len(levels) != 4:
        raise ValueError(
            f"UPerNet wants a backbone with four stages; {architecture} has "
            f"{len(levels)}. keras_convnext.list_variants() names others."
        )
    image = network.input

    def enlarge(logits: Any, head: str) -> Any:
        return ResizeLike(dtype="float32", name=f"{head}_resize")(logits, image)

    seeds = None if seed is None else itertools.count(seed + SEEDS_OF_BACKBONE)
    logits = upernet_head(
        levels,
        classes,
        channels=head_channels,
        dropout_rate=dropout_rate,
        dtype=dtype,
        seeds=seeds,
    )
    output = enlarge(logits, "decode")
    if classifier_activation is not None:
        output = keras.layers.Activation(
            classifier_activation, dtype="float32", name="decode_activation"
        )(output)
    model = SegmentationModel(
        network.input, output, name=name or f"upernet_{architecture}"
    )
    if auxiliary_head:
        second = fcn_head(
            levels[_AUXILIARY_LEVEL],
            classes,
            channels=head_channels // 2,
            dropout_rate=dropout_rate,
            dtype=dtype,
            seeds=seeds,
        )
        model._auxiliary = (enlarge(second, "auxiliary"),)
    if weights is not None:
        from keras_convnext.weights import load

        load(model, weights)
    return model


def create_upernet(name: str, weights: str | None, **overrides: Any) -> keras.Model:
    """Builds what `keras_convnext.create` calls `name`.

    Args:
        name: "upernet_" and a variant, or a published UPerNet.
        weights: None for random ones, a file, or `_BY_NAME`.
        **overrides: Arguments of `UPerNet`.

    Raises:
        ValueError: There is no such variant or checkpoint.
    """
    backbone, _, tag = name.removeprefix(PREFIX).partition(".")
    if not tag:
        return UPerNet(
            backbone, weights=None if weights == _BY_NAME else weights, **overrides
        )
    record = find(name)
    source: Any = record.weights if weights == _BY_NAME else weights
    side = record.crop_px
    arguments = {"classes": ADE20K_CLASSES, "input_shape": (side, side, 3), **overrides}
    return UPerNet(record.weights.variant, weights=source, **arguments)
