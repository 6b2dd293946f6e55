"""From a step of the road to a functional `keras.Model`."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, Literal

import keras
import numpy as np
from keras import layers

from keras_convnext import blocks, models
from keras_convnext.initializers import fill
from keras_convnext.layer_factory import LayerFactory
from keras_convnext.layers import BatchNormalization, LayerScale, StochasticDepth, gelu
from keras_convnext.preprocessing import IMAGENET, Preprocessing
from keras_convnext.roadmap import designs, plan
from keras_convnext.roadmap.designs import Design
from keras_convnext.roadmap.plan import Block, Convolution
from keras_convnext.roadmap.shapes import as_variant

ACTIVATIONS = {"relu": keras.activations.relu, "gelu": gelu}
# torchvision's: a tenth of each batch goes into the running statistics.
_BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}


def build(
    step: str | Design,
    regime: str = "resnet50",
    *,
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | None = None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
    patch_size: int = 4,
    depth_factor: float = 1.0,
    width_factor: float = 1.0,
    stochastic_depth_rate: float = 0.0,
    layer_scale_init_value: float | Literal["step"] | None = "step",
    head_init_scale: float = 1.0,
    dropout_rate: float = 0.0,
    preprocessing: Preprocessing | None = None,
    seed: int | None = None,
    dtype: Any = None,
) -> keras.Model:
    """Builds one network of the road.

    Args:
        step: One of `roadmap.STEPS`, or a `Design` of your own.
        regime: "resnet50" (to ConvNeXt-T) or "resnet200" (to ConvNeXt-B).
        include_top: Whether the classifier is part of the model. Without it the
            output is the last feature map `(batch, height, width, channels)`, or
            with `pooling` a vector `(batch, channels)`.
        include_preprocessing: Whether images come in 0..255 and the first layer
            normalizes them; otherwise they come normalized.
        weights: `None` (random). The last step takes what the library's builders
            take; no weights are published of the others.
        input_shape: `(height, width, channels)`; 224x224x3 with the top, any size
            without it, unless given.
        pooling: "avg", "max" or `None`; used without the top.
        classes: Classes of the top.
        classifier_activation: Activation of the top; `None` for logits.
        name: The model's name.
        patch_size: Pixels that one position after the stem stands for, whatever
            the stem is: 2 or 1 for images of 32 to 64 pixels.
        depth_factor: Factor on every stage's blocks, in (0, 1].
        width_factor: Factor on all channels, in (0, 1].
        stochastic_depth_rate: Probability of dropping the last block's branch while
            training; it rises linearly from 0 at the first block.
        layer_scale_init_value: What LayerScale starts with, in whichever step;
            `None` for none; "step" for none but in the last, which has ConvNeXt's.
        head_init_scale: Factor on the classifier's initial kernel.
        dropout_rate: Probability of dropping a feature before the classifier.
        preprocessing: Mean and standard deviation for `include_preprocessing`;
            ImageNet's unless given.
        seed: Makes initial weights and stochastic depth repeatable.
        dtype: Dtype policy of the layers, for example "mixed_bfloat16".

    Returns:
        A functional model. Every kernel starts normal with standard deviation
        0.02, the recipe's, in all steps.

    Raises:
        ValueError: Arguments that do not make a model.

    Source: arXiv:2201.03545, section 2.

    Example:
        >>> from keras_convnext import roadmap
        >>> model = roadmap.build("patchify", width_factor=0.25, classes=10)
        >>> model.output_shape
        (None, 10)
    """
    full = step if isinstance(step, Design) else designs.design(step, regime)
    design = designs.reduced(full, depth_factor, width_factor)
    if not isinstance(patch_size, int) or patch_size < 1:
        raise ValueError(f"patch_size is {patch_size!r}, not a whole number from 1.")
    step_name = "design" if isinstance(step, Design) else step
    common: dict[str, Any] = {
        "include_top": include_top,
        "include_preprocessing": include_preprocessing,
        "input_shape": input_shape,
        "pooling": pooling,
        "classes": classes,
        "classifier_activation": classifier_activation,
        "stochastic_depth_rate": stochastic_depth_rate,
        "head_init_scale": head_init_scale,
        "dropout_rate": dropout_rate,
        "preprocessing": preprocessing,
        "seed": seed,
        "dtype": dtype,
        "name": name or f"{regime}_{step_name}",
    }
    scale: Any = layer_scale_init_value
    if design.downsampling == "separate":
        return models.build(
            as_variant(design, patch_size),
            weights=weights,
            layer_scale_init_value="variant" if scale == "step" else scale,
            **common,
        )
    if weights is not None:
        raise ValueError(
            f"weights={weights!r}: no weights are published of the step {step_name!r}; "
            "build it with weights=None and use model.load_weights for your own."
        )
    return _build(
        design,
        patch_size=patch_size,
        layer_scale_init_value=None if scale == "step" else scale,
        **common,
    )


def _build(
    design: Design,
    *,
    include_top: bool,
    include_preprocessing: bool,
    input_shape: tuple[int | None, ...] | None,
    pooling: str | None,
    classes: int,
    classifier_activation: Any,
    name: str,
    patch_size: int,
    stochastic_depth_rate: float,
    layer_scale_init_value: float | None,
    head_init_scale: float,
    dropout_rate: float,
    preprocessing: Preprocessing | None,
    seed: int | None,
    dtype: Any,
) -> keras.Model:
    """Builds a design that halves the image inside its blocks."""
    shape = input_shape or ((224, 224, 3) if include_top else (None, None, 3))
    _check(
        shape,
        patch_size * 2 ** (len(design.depths) - 1),
        pooling=pooling,
        classes=classes,
        stochastic_depth_rate=stochastic_depth_rate,
        dropout_rate=dropout_rate,
    )
    variant = replace(
        as_variant(design, patch_size), layer_scale_init_value=layer_scale_init_value
    )
    factory = LayerFactory(
        variant=variant,
        dtype=keras.dtype_policies.get(dtype or keras.config.dtype_policy()),
        seeds=itertools.repeat(None) if seed is None else itertools.count(seed),
    )
    image = keras.Input(shape)
    x = image
    if include_preprocessing:
        x = _normalized(x, preprocessing or IMAGENET, factory)
    x = _stem(x, design, factory, patch_size)
    # Source: Meta's code; the rate rises over all blocks, not within a stage.
    rates = np.linspace(0.0, stochastic_depth_rate, sum(design.depths)).tolist()
    for block, rate in zip(plan.blocks(design), rates, strict=True):
        x = _block(x, block, design, factory, rate)
    x = blocks.head(x, factory, ("pool",), "avg" if include_top else pooling)
    if include_top:
        x = blocks.classifier(
            x, factory, classes, classifier_activation, dropout_rate, head_init_scale
        )
    model = keras.Model(image, x, name=name)
    fill(model)
    return model


def _check(
    shape: tuple[int | None, ...],
    smallest_px: int,
    *,
    pooling: str | None,
    classes: int,
    stochastic_depth_rate: float,
    dropout_rate: float,
) -> None:
    """Raises one ValueError that names everything wrong with the arguments."""
    problems = []
    if len(shape) != 3 or shape[2] != 3:
        problems.append(f"input_shape is {shape}, not (height, width, 3)")
    elif any(side and side < smallest_px for side in shape[:2]):
        problems.append(
            f"input_shape is {shape}; height and width must be at least {smallest_px}, "
            "or patch_size smaller"
        )
    if pooling not in (None, *blocks.POOLS):
        problems.append(f"pooling is {pooling!r}, not None, 'avg' or 'max'")
    if not isinstance(classes, int) or classes < 1:
        problems.append(f"classes is {classes!r}, not a whole number from 1")
    for name, rate in (
        ("stochastic_depth_rate", stochastic_depth_rate),
        ("dropout_rate", dropout_rate),
    ):
        if not 0 <= rate < 1:
            problems.append(f"{name} is {rate}, not in [0, 1)")
    if problems:
        raise ValueError(f"No model can be built: {'; '.join(problems)}.")


def _normalized(x: Any, preprocessing: Preprocessing, factory: LayerFactory) -> Any:
    mean, variance = preprocessing.normalization(x.shape[-1])
    return layers.Normalization(
        mean=mean,
        variance=variance,
        name="input_normalization",
        dtype=factory.head_dtype,
    )(x)


def _stem(x: Any, design: Design, factory: LayerFactory, patch_size: int) -> Any:
    convolution, pooled = plan.stem(design, patch_size)
    padded = design.stem != "patchify"
    x = _convolution(x, convolution, "stem", design, factory, padded=padded)
    if pooled:
        # What comes in is at least zero, so zeros at the border change no maximum.
        x = layers.ZeroPadding2D(1, name="stem_pool_pad", dtype=factory.dtype)(x)
        x = layers.MaxPooling2D(3, 2, name="stem_pool", dtype=factory.dtype)(x)
    return x


def _block(
    x: Any, block: Block, design: Design, factory: LayerFactory, drop_rate: float
) -> Any:
    """Adds a residual branch to `x`, or to what a shortcut convolution makes of it."""
    name = f"stage{block.stage}_block{block.index}"
    if block.shortcut is None and _is_library_block(design):
        return blocks.block(x, factory, block.stage, block.index, drop_rate)
    shortcut = x
    if block.shortcut is not None:
        shortcut = _convolution(x, block.shortcut, name, design, factory)
    for convolution in block.branch:
        x = _convolution(x, convolution, name, design, factory)
    scale = factory.variant.layer_scale_init_value
    if scale is not None:
        x = LayerScale(scale, name=f"{name}_layer_scale", dtype=factory.dtype)(x)
    x = StochasticDepth(
        drop_rate,
        seed=next(factory.seeds),
        name=f"{name}_stochastic_depth",
        dtype=factory.dtype,
    )(x)
    x = layers.Add(name=f"{name}_add", dtype=factory.dtype)([shortcut, x])
    if block.activation:
        x = _activation(x, f"{name}_add", design, factory)
    return x


def _is_library_block(design: Design) -> bool:
    """Returns True if a block that keeps the image's size is ConvNeXt's own."""
    own = replace(
        designs.design("separate_downsampling"),
        depths=design.depths,
        width=design.width,
        kernel_px=design.kernel_px,
        stem=design.stem,
        downsampling=design.downsampling,
    )
    return design == own


def _convolution(
    x: Any,
    convolution: Convolution,
    name: str,
    design: Design,
    factory: LayerFactory,
    padded: bool = True,
) -> Any:
    """Convolves, and applies the norm and the activation that follow."""
    alone = name == "stem"
    prefix, name = name, f"{name}_{convolution.role}"
    kernel_px, stride_px = convolution.kernel_px, convolution.stride_px
    padding = "same" if padded else "valid"
    if padded and stride_px > 1 and kernel_px > 1:
        # "same" would pad a strided convolution unevenly.
        x = layers.ZeroPadding2D(
            kernel_px // 2, name=f"{name}_pad", dtype=factory.dtype
        )(x)
        padding = "valid"
    settings: dict[str, Any] = {
        "strides": stride_px,
        "padding": padding,
        "use_bias": convolution.bias,
    }
    if convolution.depthwise:
        x = layers.DepthwiseConv2D(
            kernel_px,
            depthwise_initializer=factory.kernel(),
            name=name,
            dtype=factory.dtype,
            **settings,
        )(x)
    else:
        x = factory.conv(convolution.outputs, kernel_px, name, **settings)(x)
    if convolution.norm:
        only = alone or design.norms == "one"
        x = _norm(x, f"{prefix if only else name}_norm", design, factory)
    if convolution.activation:
        only = alone or design.activations == "one"
        x = _activation(x, prefix if only else name, design, factory)
    return x


def _norm(x: Any, name: str, design: Design, factory: LayerFactory) -> Any:
    if design.norm == "layer":
        return factory.norm(name)(x)
    return BatchNormalization(name=name, dtype=factory.dtype, **_BATCH_NORM)(x)


def _activation(x: Any, name: str, design: Design, factory: LayerFactory) -> Any:
    return layers.Activation(
        ACTIVATIONS[design.activation],
        name=f"{name}_{design.activation}",
        dtype=factory.dtype,
    )(x)
