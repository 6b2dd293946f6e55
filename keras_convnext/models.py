"""Builders: from a variant's row to a functional `keras.Model`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from keras_convnext import blocks
from keras_convnext.initializers import fill
from keras_convnext.layer_factory import LayerFactory
from keras_convnext.nested_layers import layers_by_name as layers_by_name
from keras_convnext.preprocessing import IMAGENET, Preprocessing
from keras_convnext.variants import Variant, patchify

OUTPUT_STRIDES = (8, 16, 32)
# A backbone takes a seed for each of its layers; those of heads on it begin after them.
SEEDS_OF_BACKBONE = 2**16


def build(
    variant: Variant,
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
    *,
    stochastic_depth_rate: float = 0.0,
    layer_scale_init_value: float | Literal["variant"] | None = "variant",
    head_init_scale: float = 1.0,
    dropout_rate: float = 0.0,
    patch_size: int | None = None,
    output_stride: int = 32,
    remat: bool = False,
    preprocessing: Preprocessing | None = None,
    seed: int | None = None,
    dtype: Any = None,
) -> keras.Model:
    """Builds the network that a row of `keras_convnext.variants` describes.

    `ConvNeXtTiny` and its sisters are this function with the row filled in.

    Args:
        variant: The row; `dataclasses.replace` makes rows of your own.
        include_top: Whether the classifier is part of the model. Without it the
            output is the normalized feature map `(batch, h, w, channels)`, or with
            `pooling` a vector `(batch, channels)`.
        include_preprocessing: Whether images come in 0..255 and the first layer
            normalizes them; otherwise they come normalized.
        weights: `None` (random), "imagenet", "imagenet22k", the tag of a published
            checkpoint of this variant ("fb_in22k_ft_in1k"), or a path.
        input_tensor: Output of another Keras layer to use as the image.
        input_shape: `(height, width, channels)`; height and width may be `None`.
            224x224x3 with the top, any size without it, unless given.
        pooling: "avg", "max" or `None`; used without the top.
        classes: Classes of the top.
        classifier_activation: Activation of the top; `None` for logits.
        name: The model's name; the variant's unless given. Never decides which
            weights are loaded.
        stochastic_depth_rate: Probability of dropping the last block's branch while
            training; it rises linearly from 0 at the first block.
        layer_scale_init_value: What LayerScale starts with; `None` leaves LayerScale
            out; "variant" is what the row says.
        head_init_scale: Factor on the classifier's initial kernel.
        dropout_rate: Probability of dropping a feature before the classifier.
        patch_size: Side of the stem's patches in pixels in place of the row's stem;
            2 or 1 for images of 32 to 64 pixels.
        output_stride: Pixels of the image that one position of the last feature
            map stands for: 8, 16 or 32 times a quarter of the stem's stride. Below
            32 the last stages keep their resolution and dilate their kernels.
        remat: Whether blocks keep only their inputs for the backward pass and
            compute the rest again (gradient checkpointing).
        preprocessing: Mean and standard deviation for `include_preprocessing`; the
            checkpoint's (of a folder of transformers or timm, what it says), or
            ImageNet's, unless given.
        seed: Makes initial weights and stochastic depth repeatable.
        dtype: Dtype policy of the layers, for example "mixed_bfloat16"; the global
            one unless given. Norms and the head compute in float32 at least.

    Returns:
        A functional model. Its layers' names are listed in docs/models.md. Where the
        weights come from a folder of transformers or timm that names its classes, they
        are its attribute `class_names`.

    Raises:
        ValueError: Arguments that do not make a model, all of them at once.

    Source: arXiv:2201.03545, section 2; arXiv:2301.00808, section 3.

    Example:
        >>> import dataclasses
        >>> from keras_convnext.models import build
        >>> from keras_convnext.variants import VARIANTS
        >>> row = dataclasses.replace(VARIANTS["convnext_atto"], depths=(1, 1, 1, 1))
        >>> build(row, classes=10).output_shape
        (None, 10)
    """
    if patch_size is not None:
        variant = with_patches(variant, patch_size)
    if not isinstance(layer_scale_init_value, str):
        variant = replace(variant, layer_scale_init_value=layer_scale_init_value)
    _check(
        include_top=include_top,
        pooling=pooling,
        classes=classes,
        stochastic_depth_rate=stochastic_depth_rate,
        dropout_rate=dropout_rate,
        output_stride=output_stride,
    )
    checkpoint = _resolve(variant, weights)
    image, inputs = _input(variant, input_tensor, input_shape, include_top)
    factory = LayerFactory(
        variant=variant,
        dtype=keras.dtype_policies.get(dtype or keras.config.dtype_policy()),
        seeds=_seeds(seed),
        remat=remat,
    )
    x = image
    if include_preprocessing:
        if preprocessing is None:
            preprocessing = _preprocessing_of(checkpoint) or IMAGENET
        x = _normalize(x, preprocessing, factory)
    x = blocks.stem(x, factory)
    x = _stages(x, factory, stochastic_depth_rate, output_stride)
    if include_top:
        x = blocks.head(x, factory, variant.head, "avg")
        x = blocks.classifier(
            x, factory, classes, classifier_activation, dropout_rate, head_init_scale
        )
    else:
        parts = tuple(part for part in variant.head if part != "hidden")
        x = blocks.head(x, factory, parts, pooling)
    model = keras.Model(inputs, x, name=name or variant.name)
    if checkpoint is None:
        fill(model)
        return model
    from keras_convnext import weights as weight_files

    report = weight_files.load(model, checkpoint)
    fill(model, kept=report.kept)
    if include_top and len(report.labels) == classes:
        model.class_names = report.labels
    return model


def with_patches(variant: Variant, patch_size: int) -> Variant:
    """Returns a row with a stem of other patches.

    Args:
        variant: The row.
        patch_size: Side of the stem's patches in pixels.

    Raises:
        ValueError: Its stem is not one patch convolution, or the side is below 1.
    """
    if len(variant.stem) > len(patchify(1)) or patch_size < 1:
        raise ValueError(
            "patch_size is a number of pixels, at least 1, for variants whose stem is "
            f"one patch convolution; got patch_size={patch_size!r} for {variant.name}."
        )
    return replace(variant, stem=(patchify(patch_size)[0], *variant.stem[1:]))


def _check(
    *,
    include_top: bool,
    pooling: str | None,
    classes: int,
    stochastic_depth_rate: float,
    dropout_rate: float,
    output_stride: int,
) -> None:
    """Raises one ValueError that names everything wrong with the arguments."""
    problems = []
    if keras.config.image_data_format() != "channels_last":
        problems.append(
            "Keras' image_data_format is 'channels_first'; ConvNeXt is channels-last: "
            "call keras.config.set_image_data_format('channels_last')"
        )
    if pooling not in (None, *blocks.POOLS):
        problems.append(f"pooling is {pooling!r}, not None, 'avg' or 'max'")
    if include_top and (not isinstance(classes, int | np.integer) or classes < 1):
        problems.append(f"classes is {classes!r}, not a whole number from 1")
    if not 0 <= stochastic_depth_rate < 1:
        problems.append(
            f"stochastic_depth_rate is {stochastic_depth_rate}, not in [0, 1)"
        )
    if not 0 <= dropout_rate < 1:
        problems.append(f"dropout_rate is {dropout_rate}, not in [0, 1)")
    if output_stride not in OUTPUT_STRIDES:
        problems.append(f"output_stride is {output_stride}, not one of 8, 16, 32")
    if problems:
        raise ValueError("No model can be built: " + "; ".join(problems) + ".")


def _resolve(variant: Variant, weights: str | None) -> Any:
    """Finds out what `weights` means before anything is built."""
    if weights is None:
        return None
    from keras_convnext import weights as weight_files

    return weight_files.resolve(variant.name, weights)


def _preprocessing_of(checkpoint: Any) -> Preprocessing | None:
    """Returns how published weights, or a folder's, expect images; None if unknown."""
    if not isinstance(checkpoint, Path):
        return getattr(checkpoint, "preprocessing", None)
    from keras_convnext.weights.side_files import read_side_files

    return read_side_files(checkpoint).preprocessing


def _input(
    variant: Variant,
    input_tensor: Any,
    input_shape: tuple[int | None, ...] | None,
    include_top: bool,
) -> tuple[Any, Any]:
    """Returns the image's tensor and the model's inputs."""
    if input_tensor is not None and not keras.utils.is_keras_tensor(input_tensor):
        raise ValueError(
            "input_tensor is the output of keras.Input or of another Keras layer; got "
            f"{type(input_tensor).__name__}."
        )
    if input_tensor is not None:
        shape = tuple(input_tensor.shape[1:])
        if input_shape is not None and tuple(input_shape) != shape:
            raise ValueError(
                f"input_tensor has shape {shape} and input_shape is "
                f"{tuple(input_shape)}: give one of them, or make them agree."
            )
    elif input_shape is not None:
        shape = tuple(input_shape)
    else:
        shape = (224, 224, 3) if include_top else (None, None, 3)
    smallest = variant.stem_stride_px * 2 ** (len(variant.depths) - 1)
    if len(shape) != 3 or not shape[2] or any(s and s < smallest for s in shape[:2]):
        raise ValueError(
            f"{variant.name} takes images of shape (height, width, channels), height "
            f"and width at least {smallest} or None; got {shape}."
        )
    if input_tensor is None:
        image = keras.Input(shape)
        return image, image
    sources = keras.utils.get_source_inputs(input_tensor)
    return input_tensor, sources[0] if len(sources) == 1 else sources


def _seeds(seed: int | None) -> Iterator[int | None]:
    return itertools.repeat(None) if seed is None else itertools.count(seed)


def _normalize(x: Any, preprocessing: Preprocessing, factory: LayerFactory) -> Any:
    mean, variance = preprocessing.normalization(x.shape[-1])
    return keras.layers.Normalization(
        mean=mean,
        variance=variance,
        name="input_normalization",
        dtype=factory.head_dtype,
    )(x)


def _stages(x: Any, factory: LayerFactory, rate: float, output_stride: int) -> Any:
    """Adds what lies between stem and head."""
    depths = factory.variant.depths
    # Source: Meta's code; the rate rises over all blocks, not within a stage.
    rates = iter(np.linspace(0.0, rate, sum(depths)).tolist())
    stride, dilation = 4, 1
    for stage, depth in enumerate(depths):
        if stage:
            before = dilation
            if stride * 2 > output_stride:
                dilation *= 2
            else:
                stride *= 2
            x = blocks.downsample(x, factory, stage, (before, dilation))
        for index in range(depth):
            x = blocks.block(x, factory, stage, index, next(rates), dilation)
    return x
