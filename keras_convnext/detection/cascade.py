"""Cascade Mask R-CNN: three box heads, each with the boxes of the one before."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.detection.box_heads import UNITS
from keras_convnext.detection.checkpoints import COCO_CLASSES
from keras_convnext.detection.detector import build_detector
from keras_convnext.detection.fpn import CHANNELS
from keras_convnext.detection.roi_heads import Limits


def CascadeMaskRCNN(
    backbone: str = "convnext_tiny",
    classes: int = COCO_CLASSES,
    *,
    weights: Any = None,
    input_shape: tuple[int | None, ...] = (None, None, 3),
    masks: bool = True,
    channels: int = CHANNELS,
    units: int = UNITS,
    proposals: int = 1000,
    detections: int = 100,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.5,
    name: str | None = None,
    dtype: Any = None,
    **overrides: Any,
) -> keras.Model:
    """Builds Cascade Mask R-CNN on a ConvNeXt, or with `masks=False` Cascade R-CNN.

    Each of three box heads looks at the boxes that the one before has moved. An
    object's probabilities are of the mean of their logits, its mask is the mean of
    three heads'.

    Args:
        backbone: As `MaskRCNN`.
        classes: Classes of objects.
        weights: None, a file of such a network's weights (in the names of mmdetection
            or Meta), or a published one, "cascade_mask_rcnn_convnext_base.coco_in22k".
        input_shape: `(height, width, channels)`; height and width may be None.
        masks: Whether objects have masks.
        channels: Of the pyramid's maps and the heads' convolutions; published weights
            have 256.
        units: Of the box heads' dense layers; published weights have 1024.
        proposals: Boxes of an image that the heads look at, at most.
        detections: Objects of an image at most.
        score_threshold: Probability that an object's must exceed.
        iou_threshold: Objects of a class that overlap a better one by more than this
            are dropped.
        name: The model's name, "cascade_mask_rcnn_" and the variant's unless given.
        dtype: Dtype policy of the layers; boxes, scores and masks are float32.
        **overrides: Of the backbone, as its builder takes.

    Returns:
        A functional `keras.Model`: images `(batch, height, width, channels)` in 0..255
        in, and the dictionary of `MaskRCNN` out.

    Raises:
        ValueError: There is no such backbone, or it has no four stages.

    Source: arXiv:1712.00726; arXiv:2201.03545, section 3.2 and appendix A.3.

    Example:
        >>> import keras_convnext
        >>> model = keras_convnext.CascadeMaskRCNN("convnext_atto", 3, proposals=50)
        >>> model.output["masks"].shape
        (None, 100, 28, 28)
    """
    return build_detector(
        "cascade_mask_rcnn",
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
        **overrides,
    )
