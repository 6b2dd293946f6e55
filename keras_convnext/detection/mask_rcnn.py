"""Mask R-CNN: boxes, classes and shapes of objects, from a ConvNeXt's maps."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.detection.box_heads import UNITS
from keras_convnext.detection.checkpoints import COCO_CLASSES
from keras_convnext.detection.detector import build_detector
from keras_convnext.detection.fpn import CHANNELS
from keras_convnext.detection.roi_heads import Limits


def MaskRCNN(
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
    """Builds Mask R-CNN on a ConvNeXt, or with `masks=False` Faster R-CNN.

    Args:
        backbone: A variant with four stages, "convnext_tiny" or another of
            `keras_convnext.list_variants()`; or a published checkpoint of one,
            "convnext_tiny.fb_in1k", whose weights the backbone then starts from.
        classes: Classes of objects.
        weights: None, a file of such a network's weights (in the names of mmdetection
            or Meta), or a published one, "mask_rcnn_convnext_tiny.coco".
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
        name: The model's name, "mask_rcnn_" and the variant's unless given.
        dtype: Dtype policy of the layers; boxes, scores and masks are float32.
        **overrides: Of the backbone, as its builder takes: `stochastic_depth_rate`,
            `layer_scale_init_value`, `remat`, `seed`, `include_preprocessing` ...

    Returns:
        A functional `keras.Model`: images `(batch, height, width, channels)` in 0..255
        of any size in, and a dictionary out: "boxes" `(batch, detections, 4)`, y0, x0,
        y1, x1 in pixels; "scores" `(batch, detections)`, falling; int32 "classes"
        `(batch, detections)`; "masks" `(batch, detections, 28, 28)`, probabilities
        inside of the boxes (`paste_masks` puts them into the image); and int32 "count"
        `(batch,)`. After the last object there are zeros, and -1 for the class.

    Raises:
        ValueError: There is no such backbone, or it has no four stages.

    Source: arXiv:1703.06870; arXiv:2201.03545, section 3.2 and appendix A.3.

    Example:
        >>> import keras_convnext
        >>> model = keras_convnext.MaskRCNN("convnext_atto", 3, proposals=50)
        >>> {name: tensor.shape for name, tensor in model.output.items()}["boxes"]
        (None, 100, 4)
    """
    return build_detector(
        "mask_rcnn",
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
