"""What Mask R-CNN and its cascade share: from an image to maps and proposals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_convnext._pyramid import pyramid
from keras_convnext.detection._training_settings import METHODS
from keras_convnext.detection.box_heads import UNITS
from keras_convnext.detection.checkpoints import find
from keras_convnext.detection.fpn import CHANNELS, fpn
from keras_convnext.detection.padding import MULTIPLE, PadImage
from keras_convnext.detection.roi_heads import Limits, roi_heads
from keras_convnext.detection.rpn import Proposals, rpn_head
from keras_convnext.models import SEEDS_OF_BACKBONE, build
from keras_convnext.variants import find_variant

if TYPE_CHECKING:
    from keras_convnext.detection.supervision import Supervision


def detect(
    levels: Sequence[Any],
    image: Any,
    limits: Limits,
    *,
    channels: int = CHANNELS,
    dtype: Any = None,
    supervision: Supervision | None = None,
    **heads: Any,
) -> dict[str, Any]:
    """Builds what comes after the backbone.

    Args:
        levels: Four maps `(batch, h, w, c_i)`, strides 4 to 32.
        image: `(batch, height, width, channels)`, whose size boxes are clipped to, or
            such sizes, `(batch, 2)`.
        limits: How many boxes go on.
        channels: Of the pyramid's maps.
        dtype: Dtype policy of the layers.
        supervision: What adds what a network needs in order to learn.
        **heads: Of `roi_heads`: stages, classes, masks and units.
    """
    maps = fpn(levels, channels, dtype)
    head = rpn_head(channels, dtype)
    logits, deltas = zip(*(head(level) for level in maps), strict=True)
    in_training: dict[str, Any] = {}
    if supervision is not None:
        supervision.sample_anchors(maps, head)
        in_training = {
            "training_outputs": supervision.settings.proposals,
            "training_per_level": supervision.settings.per_level,
        }
    propose = Proposals(
        limits.proposals, limits.per_level, name="proposals", **in_training
    )
    proposals = propose(logits, deltas, image)
    return roi_heads(
        maps[:-1],
        proposals,
        image,
        dtype,
        limits=limits,
        supervision=supervision,
        **heads,
    )


def build_detector(
    method: str,
    backbone: str,
    limits: Limits,
    *,
    classes: int,
    masks: bool,
    weights: Any,
    input_shape: tuple[int | None, ...],
    name: str | None,
    dtype: Any,
    channels: int = CHANNELS,
    units: int = UNITS,
    supervision: Supervision | None = None,
    **overrides: Any,
) -> keras.Model:
    """Builds a detector on a ConvNeXt and loads its weights.

    Args:
        method: One of `METHODS`; it begins the model's name, unless that is given, and
            those of its published weights.
        backbone: A variant, or a published checkpoint of one.
        limits: How many boxes go on.
        classes: Classes of objects.
        masks: Whether objects have masks.
        weights: None, a published name, or what `keras_convnext.load_weights` takes.
        input_shape: `(height, width, channels)`.
        name: The model's.
        dtype: Dtype policy of the layers.
        channels: Of the pyramid's maps.
        units: Of the box heads' dense layers.
        supervision: What adds what a network needs in order to learn.
        **overrides: Of the backbone's builder.

    Raises:
        ValueError: The backbone has not four stages of strides 4 to 32.
    """
    if isinstance(weights, str) and weights.startswith(f"{method}_"):
        weights = find(weights).weights
    architecture, _, tag = backbone.partition(".")
    variant = find_variant(architecture)
    for argument in ("output_stride", "input_tensor"):
        if argument in overrides:
            raise ValueError(f"Detectors take no {argument}: strides are 4 to 32.")
    stride = overrides.get("patch_size") or variant.stem_stride_px
    if len(variant.depths) != 4 or stride != 4:
        raise ValueError(
            "Detectors want a backbone with four stages of strides 4, 8, 16 and 32; "
            f"{architecture} has {len(variant.depths)} from a stride of {stride} on. "
            "keras_convnext.list_variants() names others."
        )
    image = keras.Input(input_shape, name=None if supervision is None else "image")
    padding = PadImage(MULTIPLE, dtype="float32", name="input_padding")
    network = build(
        variant,
        include_top=False,
        weights=tag or None,
        input_tensor=padding(image),
        dtype=dtype,
        **overrides,
    )
    if overrides.get("include_preprocessing", True):
        mean = network.get_layer("input_normalization").mean
        padding.color = np.ravel(mean).tolist()
    levels = list(pyramid(network, norms=True).pyramid_outputs.values())
    size, inputs, settings = image, image, METHODS[method]
    if supervision is not None:
        size, settings = supervision.truth["size"], supervision.settings
        inputs = {"image": image, **supervision.truth}
    outputs = detect(
        levels,
        size,
        limits,
        stages=len(settings.stage_weights),
        classes=classes,
        masks=masks,
        channels=channels,
        units=units,
        dtype=dtype,
        supervision=supervision,
    )
    if supervision is not None:
        outputs |= supervision.outputs
    model = keras.Model(inputs, outputs, name=name or f"{method}_{architecture}")
    if overrides.get("seed") is not None:
        _draw_heads_again(model, network, overrides["seed"] + SEEDS_OF_BACKBONE)
    if weights is not None:
        from keras_convnext.weights import load

        load(model, weights)
    return model


def _draw_heads_again(model: keras.Model, backbone: keras.Model, seed: int) -> None:
    """Gives kernels that are not the backbone's the initial values of a seed."""
    of_backbone = {id(layer) for layer in backbone.layers}
    for layer in model.layers:
        if id(layer) in of_backbone or not hasattr(layer, "kernel_initializer"):
            continue
        settings = layer.kernel_initializer.get_config()
        # Each layer has a seed of its own: those of a cascade's stages are alike.
        initializer = type(layer.kernel_initializer)(**{**settings, "seed": seed})
        layer.kernel.assign(initializer(layer.kernel.shape, layer.kernel.dtype))
        seed += 1
