"""What looks at each proposal: box heads in one stage or three, and mask heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras

from keras_convnext.detection import box_heads
from keras_convnext.detection._roi_align import RoIAlign
from keras_convnext.detection.box_outputs import OUTPUTS, Detections, RefineBoxes
from keras_convnext.detection.mask_head import SIZE as MASK_SIZE
from keras_convnext.detection.mask_head import MasksOfClasses, mask_head
from keras_convnext.detection.rpn import PROPOSALS

if TYPE_CHECKING:
    from keras_convnext.detection.supervision import Supervision


@dataclass(frozen=True)
class Limits:
    """How many boxes go on, and which.

    Attributes:
        proposals: Boxes of an image that the heads look at, at most.
        detections: Objects of an image at most.
        score_threshold: Probability that an object's must exceed.
        iou_threshold: Objects of a class that overlap by more than this are dropped.
        per_level: Anchors of a level that may become proposals.
    """

    proposals: int = PROPOSALS
    detections: int = 100
    score_threshold: float = 0.05
    iou_threshold: float = 0.5
    per_level: int = PROPOSALS


def roi_heads(
    maps: list[Any],
    proposals: Any,
    image: Any,
    dtype: Any,
    *,
    stages: int,
    classes: int,
    limits: Limits,
    masks: bool = True,
    units: int = box_heads.UNITS,
    supervision: Supervision | None = None,
) -> dict[str, Any]:
    """Builds the heads of Mask R-CNN, with one stage, or of its cascade, with three.

    Args:
        maps: Four of one width, strides 4 to 32.
        proposals: `(batch, proposals, 4)`.
        image: Whose size boxes are clipped to, or sizes `(batch, 2)`.
        dtype: Dtype policy of the layers.
        stages: How many box heads there are, each with the boxes of the one before.
        classes: Classes of objects.
        limits: How many boxes go on.
        masks: Whether objects have masks.
        units: Of the box heads' dense layers.
        supervision: What chooses boxes in training, and keeps what losses need.
    """
    boxes, all_logits = proposals, []
    labels: tuple[Any, ...] = ()
    suffixes = [""] if stages == 1 else [str(stage) for stage in range(stages)]

    def align(boxes: Any, size: int, name: str) -> Any:
        return RoIAlign(size, dtype=dtype, name=f"{name}_align")(maps, boxes)

    for stage, suffix in enumerate(suffixes):
        if supervision is not None:
            boxes, labels = supervision.sample_boxes(stage, boxes)
        features = align(boxes, box_heads.SIZE, f"box{suffix}")
        if stages == 1:
            logits, deltas = box_heads.two_dense_head(
                features, classes, units=units, dtype=dtype
            )
        else:
            logits, deltas = box_heads.four_conv_head(
                features, classes, stage, units=units, dtype=dtype
            )
        all_logits.append(logits)
        if supervision is not None:
            supervision.keep(f"box{stage}", logits=logits, deltas=deltas)
        if stage < stages - 1:
            boxes = RefineBoxes(box_heads.STDS[stage], name=f"box{suffix}_refine")(
                boxes, logits, deltas, image, *labels
            )
    if stages > 1:
        average = keras.layers.Average(dtype="float32", name="box_logits_mean")
        logits = average(all_logits)
    found = Detections(
        box_heads.STDS[stages - 1],
        limits.detections,
        limits.score_threshold,
        limits.iou_threshold,
        name="detections",
    )(boxes, logits, deltas, image)
    outputs = dict(zip(OUTPUTS, found, strict=True))
    if not masks:
        return outputs
    boxes, classes_of = outputs["boxes"], outputs["classes"]
    heads: list[Any] = []
    if supervision is None:
        features = align(boxes, MASK_SIZE, "mask")
    for stage, suffix in enumerate(suffixes):
        if supervision is not None:
            chosen, classes_of = supervision.sample_masks(
                stage, outputs["boxes"], outputs["classes"]
            )
            features = align(chosen, MASK_SIZE, f"mask{suffix}")
        heads.append(mask_head(features, classes, f"mask{suffix}", dtype))
        if supervision is not None:
            supervision.keep(f"mask{stage}", logits=heads[-1])
    outputs["masks"] = MasksOfClasses(name="detection_masks")(heads, classes_of)
    return outputs
