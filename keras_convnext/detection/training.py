"""Detectors that learn: Mask R-CNN and its cascade with what their losses need."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_convnext.detection._training_settings import (
    TrainingSettings,
    training_settings,
)
from keras_convnext.detection.box_heads import UNITS
from keras_convnext.detection.detector import build_detector
from keras_convnext.detection.fpn import CHANNELS
from keras_convnext.detection.roi_heads import Limits
from keras_convnext.detection.rpn import PROPOSALS
from keras_convnext.detection.supervision import Supervision


def training_model(
    method: str = "mask_rcnn",
    backbone: str = "convnext_tiny",
    classes: int = 80,
    *,
    weights: Any = None,
    input_shape: tuple[int | None, ...] = (None, None, 3),
    masks: bool = True,
    max_objects: int | None = None,
    settings: TrainingSettings | None = None,
    channels: int = CHANNELS,
    units: int = UNITS,
    proposals: int = PROPOSALS,
    detections: int = 100,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.5,
    name: str | None = None,
    dtype: Any = None,
    **overrides: Any,
) -> keras.Model:
    """Builds a detector that learns.

    It has the variables of `MaskRCNN` or `CascadeMaskRCNN` under the same paths, so
    that one takes the other's weights. Called with `training=True`, its heads look at
    boxes that are drawn by each image's seed, and its outputs are what
    `detection_losses` needs; called with `training=False`, at the proposals, and
    "boxes", "scores", "classes", "count" and "masks" are the detector's.

    Args:
        method: "mask_rcnn" or "cascade_mask_rcnn".
        backbone: As `MaskRCNN`.
        classes: Classes of objects.
        weights: As `MaskRCNN`.
        input_shape: `(height, width, channels)`; height and width may be None.
        masks: Whether objects have masks.
        max_objects: Objects of an image, padding included; None for any number.
        settings: How it learns; by `training_settings(method)` unless given.
        channels: Of the pyramid's maps and the heads' convolutions.
        units: Of the box heads' dense layers.
        proposals: As `MaskRCNN`, for `training=False`.
        detections: As `MaskRCNN`.
        score_threshold: As `MaskRCNN`.
        iou_threshold: As `MaskRCNN`.
        name: The model's name.
        dtype: Dtype policy of the layers; boxes, scores and masks are float32.
        **overrides: Of the backbone, as its builder takes.

    Returns:
        A functional `keras.Model` from a dictionary to a dictionary. In: "image"
        `(batch, height, width, channels)` in 0..255, which may be padded below and to
        the right; "size" int32 `(batch, 2)`, its own height and width; "boxes" `(batch,
        objects, 4)`, y0, x0, y1, x1 in pixels; "classes" int32 `(batch, objects)`, -1
        after the last object; "masks" uint8 `(batch, objects, height, width)`, 0 or 1;
        and "seed" int32 `(batch, 2)`.

    Raises:
        ValueError: There is no such method or backbone.

    Source: arXiv:1703.06870; arXiv:1712.00726; arXiv:2201.03545, section 3.2.

    Example:
        >>> from keras_convnext.detection import training_model
        >>> model = training_model("mask_rcnn", "convnext_atto", 3, channels=16)
        >>> sorted(model.input)
        ['boxes', 'classes', 'image', 'masks', 'seed', 'size']
    """
    usual = training_settings(method)
    settings = settings or usual
    truth = {
        "size": keras.Input((2,), dtype="int32", name="size"),
        "boxes": keras.Input((max_objects, 4), dtype="float32", name="boxes"),
        "classes": keras.Input((max_objects,), dtype="int32", name="classes"),
        "seed": keras.Input((2,), dtype="int32", name="seed"),
    }
    if masks:
        shape = (max_objects, *input_shape[:2])
        truth["masks"] = keras.Input(shape, dtype="uint8", name="masks")
    return build_detector(
        method,
        backbone,
        Limits(proposals, detections, score_threshold, iou_threshold),
        classes=classes,
        masks=masks,
        weights=weights,
        input_shape=input_shape,
        channels=channels,
        units=units,
        name=name,
        dtype=dtype,
        supervision=Supervision(truth, settings, classes),
        **overrides,
    )


def without_truth(images: Any, size: Any = None, masks: bool = True) -> dict[str, Any]:
    """Returns a training model's inputs for images of which nothing is known.

    With them it is called with `training=False`.

    Args:
        images: `(batch, height, width, channels)` in 0..255.
        size: int32 `(batch, 2)`, their own heights and widths where they are padded.
        masks: Whether the model has masks.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.detection.training import without_truth
        >>> without_truth(np.zeros((2, 32, 48, 3)))["size"].numpy().tolist()
        [[32, 48], [32, 48]]
    """
    images = ops.convert_to_tensor(images, dtype="float32")
    batch, height, width = ops.shape(images)[:3]
    if size is None:
        sides = ops.stack([ops.cast(side, "int32") for side in (height, width)])
        size = ops.broadcast_to(sides[None, :], (batch, 2))
    inputs = {
        "image": images,
        "size": size,
        "boxes": ops.zeros((batch, 0, 4)),
        "classes": ops.zeros((batch, 0), "int32"),
        "seed": ops.zeros((batch, 2), "int32"),
    }
    if masks:
        inputs["masks"] = ops.zeros((batch, 0, height, width), "uint8")
    return inputs
