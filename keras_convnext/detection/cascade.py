"""Cascade Mask R-CNN: three box heads, each with the boxes of the one before."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.detection import box_heads
from keras_convnext.detection._roi_align import RoIAlign
from keras_convnext.detection.box_outputs import RefineBoxes
from keras_convnext.detection.checkpoints import COCO_CLASSES
from keras_convnext.detection.detector import Limits, build_detector
from keras_convnext.detection.mask_head import SIZE as MASK_SIZE
from keras_convnext.detection.mask_head import MasksOfClasses, mask_head
from keras_convnext.detection.mask_rcnn import detections_of

PREFIX = "cascade_mask_rcnn_"
STAGES = 3


def CascadeMaskRCNN(
    backbone: str = "convnext_tiny",
    classes: int = COCO_CLASSES,
    *,
    weights: Any = None,
    input_shape: tuple[int | None, ...] = (None, None, 3),
    masks: bool = True,
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
        backbone,
        roi_heads,
        Limits(proposals, detections, score_threshold, iou_threshold),
        prefix=PREFIX,
        classes=classes,
        masks=masks,
        weights=weights,
        input_shape=input_shape,
        name=name,
        dtype=dtype,
        **overrides,
    )


def roi_heads(
    maps: list[Any],
    proposals: Any,
    image: Any,
    dtype: Any,
    *,
    classes: int,
    masks: bool,
    limits: Limits,
    units: int = box_heads.UNITS,
) -> dict[str, Any]:
    """Builds the three stages; arguments as in `mask_rcnn.roi_heads`."""
    boxes, all_logits = proposals, []
    for stage in range(STAGES):
        stds = box_heads.STDS[stage]
        features = RoIAlign(box_heads.SIZE, dtype=dtype, name=f"box{stage}_align")(
            maps, boxes
        )
        logits, deltas = box_heads.four_conv_head(
            features, classes, stage, units=units, dtype=dtype
        )
        all_logits.append(logits)
        if stage < STAGES - 1:
            boxes = RefineBoxes(stds, name=f"box{stage}_refine")(
                boxes, logits, deltas, image
            )
    mean = keras.layers.Average(dtype="float32", name="box_logits_mean")(all_logits)
    outputs = detections_of(boxes, mean, deltas, image, stds, limits)
    if masks:
        features = RoIAlign(MASK_SIZE, dtype=dtype, name="mask_align")(
            maps, outputs["boxes"]
        )
        heads = [
            mask_head(features, classes, f"mask{stage}", dtype)
            for stage in range(STAGES)
        ]
        outputs["masks"] = MasksOfClasses(name="masks")(heads, outputs["classes"])
    return outputs
