"""Mask R-CNN: boxes, classes and shapes of objects, from a ConvNeXt's maps."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.detection import box_heads
from keras_convnext.detection._roi_align import RoIAlign
from keras_convnext.detection.box_outputs import Detections
from keras_convnext.detection.checkpoints import COCO_CLASSES
from keras_convnext.detection.detector import Limits, build_detector
from keras_convnext.detection.mask_head import SIZE as MASK_SIZE
from keras_convnext.detection.mask_head import MasksOfClasses, mask_head

PREFIX = "mask_rcnn_"


def MaskRCNN(
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
    """Builds what looks at each proposal.

    Args:
        maps: Four of one width, strides 4 to 32.
        proposals: `(batch, proposals, 4)`.
        image: Whose size boxes are clipped to.
        dtype: Dtype policy of the layers.
        classes: Classes of objects.
        masks: Whether objects have masks.
        limits: How many boxes go on.
        units: Of the box head's dense layers.
    """
    features = RoIAlign(box_heads.SIZE, dtype=dtype, name="box_align")(maps, proposals)
    logits, deltas = box_heads.two_dense_head(
        features, classes, units=units, dtype=dtype
    )
    outputs = detections_of(proposals, logits, deltas, image, box_heads.STDS[0], limits)
    if masks:
        features = RoIAlign(MASK_SIZE, dtype=dtype, name="mask_align")(
            maps, outputs["boxes"]
        )
        outputs["masks"] = MasksOfClasses(name="masks")(
            [mask_head(features, classes, dtype=dtype)], outputs["classes"]
        )
    return outputs


def detections_of(
    boxes: Any,
    logits: Any,
    deltas: Any,
    image: Any,
    stds: tuple[float, ...],
    limits: Limits,
) -> dict[str, Any]:
    """Returns the outputs of a detector without masks."""
    chosen = Detections(
        stds,
        limits.detections,
        limits.score_threshold,
        limits.iou_threshold,
        name="detections",
    )(boxes, logits, deltas, image)
    return dict(zip(("boxes", "scores", "classes", "count"), chosen, strict=True))
