"""The layers that choose what a detector learns from.

Each has two sides. In training it gives boxes drawn by the image's seed, and what they
are to become. Otherwise boxes go through as they are, and the rest is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_convnext.detection._anchors import RATIOS, anchors
from keras_convnext.detection._neighborhoods import neighborhoods
from keras_convnext.detection._training_settings import most_positive
from keras_convnext.detection.assignment import NOTHING, assign
from keras_convnext.detection.box_coding import encode_boxes
from keras_convnext.detection.box_overlap import has_area
from keras_convnext.detection.mask_head import SIZE as MASK_SIZE
from keras_convnext.detection.mask_targets import crop_masks
from keras_convnext.detection.padding import MULTIPLE
from keras_convnext.detection.rpn import STRIDES
from keras_convnext.detection.sampling import sample

# Overlaps of anchors. Source: arXiv:1506.01497, section 3.1.2.
_ANCHOR_IOUS = {"positive": 0.7, "negative": 0.3, "least": 0.3}
# Overlap of an object's best box. Source: mmdetection 3.3.0,
# configs/_base_/models/mask-rcnn_r50_fpn.py.
_LEAST_BOX_IOU = 0.5
# No anchors, boxes or masks have been drawn.
_UNUSED = -1
# Numbers of draws, so that they differ.
_ANCHOR_DRAW = 0
_FIRST_BOX_DRAW = 1


@keras.saving.register_keras_serializable(package="keras_convnext")
class AnchorSamples(keras.layers.Layer):
    """Chooses anchors, and what a region proposal network sees of them.

    Shapes: each level's map `(batch, h, w, channels)`, the images' sizes int32 `(batch,
    2)`, boxes `(batch, objects, 4)`, classes `(batch, objects)` and seeds `(batch, 2)`
    in. Out come the cells around each anchor's `(batch * count, 3, 3, channels)`, which
    of its cell's three it is, int32 `(batch, count)`, labels likewise, 1 for an
    object's, 0 for the background's and -1 for none, and the differences `(batch,
    count, 4)` that are right, zeros where there is no object.

    Args:
        count: Anchors of an image.
        positive_share: How many of them may be objects', at most.
        may_cross_border: Whether anchors count that do not lie in the image.

    Source: arXiv:1506.01497, section 3.1.
    """

    def __init__(
        self,
        count: int,
        positive_share: float,
        may_cross_border: bool,
        **kwargs: Any,
    ):
        # Maps keep their type.
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.count = count
        self.positive_share = positive_share
        self.may_cross_border = may_cross_border

    def call(
        self,
        levels: Sequence[Any],
        size: Any,
        boxes: Any,
        classes: Any,
        seed: Any,
        training: bool | None = None,
    ) -> tuple[Any, ...]:
        batch, count = ops.shape(size)[0], self.count
        if not training:
            cells = (batch * count, 3, 3, levels[0].shape[-1])
            return (
                ops.zeros(cells, levels[0].dtype),
                ops.zeros((batch, count), "int32"),
                ops.full((batch, count), _UNUSED, "int32"),
                ops.zeros((batch, count, 4)),
            )
        references = ops.concatenate(
            [
                anchors(ops.shape(level)[1], ops.shape(level)[2], stride)
                for level, stride in zip(levels, STRIDES, strict=True)
            ]
        )
        assigned = assign(
            references[None],
            boxes,
            classes >= 0,
            self._is_usable(references[None], size),
            **_ANCHOR_IOUS,
        )
        places, is_positive, is_drawn = sample(
            assigned,
            seed,
            _ANCHOR_DRAW,
            count=count,
            most_positive=most_positive(count, self.positive_share),
        )
        number = ops.maximum(ops.take_along_axis(assigned, places, 1), 0)
        targets = encode_boxes(
            ops.take_along_axis(boxes, number[..., None], 1),
            ops.take(references, places, axis=0),
        )
        return (
            neighborhoods(levels, places // len(RATIOS)),
            places % len(RATIOS),
            _labels(1, 0, is_positive, is_drawn),
            ops.where(is_positive[..., None], targets, 0.0),
        )

    def _is_usable(self, references: Any, size: Any) -> Any:
        """Which anchors count: `(batch, anchors)`."""
        size = size[:, None, :]
        padded = ops.cast(size + -size % MULTIPLE, "float32")
        center = (references[..., :2] + references[..., 2:]) / 2
        # An image may be padded to the size of a larger one of its batch.
        is_usable = ops.all(center < padded, axis=-1)
        if self.may_cross_border:
            return is_usable
        is_within = ops.logical_and(
            references[..., :2] >= 0, references[..., 2:] < ops.cast(size, "float32")
        )
        return ops.logical_and(is_usable, ops.all(is_within, axis=-1))

    def compute_output_spec(
        self, levels: Sequence[Any], size: Any, *args: Any, **kwargs: Any
    ) -> tuple[Any, ...]:
        shape = (size.shape[0], self.count)
        cells = (None, 3, 3, levels[0].shape[-1])
        return (
            keras.KerasTensor(cells, dtype=levels[0].dtype),
            keras.KerasTensor(shape, dtype="int32"),
            keras.KerasTensor(shape, dtype="int32"),
            keras.KerasTensor((*shape, 4), dtype="float32"),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "count": self.count,
            "positive_share": self.positive_share,
            "may_cross_border": self.may_cross_border,
        }


@keras.saving.register_keras_serializable(package="keras_convnext")
class BoxSamples(keras.layers.Layer):
    """Chooses boxes for a box head, among proposals and the true boxes.

    Shapes: proposals `(batch, proposals, 4)`, zeros where there are no more, boxes
    `(batch, objects, 4)`, classes `(batch, objects)` and seeds `(batch, 2)` in. Out
    come boxes `(batch, count, 4)`, those of objects first; int32 labels `(batch,
    count)`, classes, `classes` for the background and -1 for none; int32 numbers of
    their objects `(batch, count)`; the true boxes of those `(batch, count, 4)`; and
    bool `(batch, count)`, which are proposals and not true boxes.

    Args:
        classes: Classes of objects.
        count: Boxes of an image.
        positive_share: How many of them may be objects', at most.
        iou: Overlap from which on a box is an object's.
        best_is_positive: Whether an object's best proposal is its too.
        stage: Of a cascade, from 0 on: each draws others.

    Source: arXiv:1504.08083, section 2.3; arXiv:1712.00726, section 4.
    """

    def __init__(
        self,
        classes: int,
        count: int,
        positive_share: float,
        iou: float,
        best_is_positive: bool,
        stage: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.classes = classes
        self.count = count
        self.positive_share = positive_share
        self.iou = iou
        self.best_is_positive = best_is_positive
        self.stage = stage

    def call(
        self,
        proposals: Any,
        boxes: Any,
        classes: Any,
        seed: Any,
        training: bool | None = None,
    ) -> tuple[Any, ...]:
        if not training:
            first = proposals[..., 0]
            return (
                proposals,
                ops.full_like(first, _UNUSED, dtype="int32"),
                ops.zeros_like(first, dtype="int32"),
                ops.zeros_like(proposals),
                ops.full_like(first, True, dtype="bool"),
            )
        is_object = classes >= 0
        assigned = assign(
            proposals,
            boxes,
            is_object,
            has_area(proposals),
            positive=self.iou,
            negative=self.iou,
            least=_LEAST_BOX_IOU if self.best_is_positive else None,
        )
        objects = ops.shape(boxes)[1]
        # No difference leads to a box without an area.
        is_box = ops.logical_and(is_object, has_area(boxes))
        own = ops.where(is_box, ops.arange(objects, dtype="int32")[None, :], NOTHING)
        assigned = ops.concatenate([own, assigned], 1)
        places, is_positive, is_drawn = sample(
            assigned,
            seed,
            _FIRST_BOX_DRAW + self.stage,
            count=self.count,
            most_positive=most_positive(self.count, self.positive_share),
        )
        candidates = ops.concatenate([boxes, proposals], 1)
        chosen = ops.take_along_axis(candidates, places[..., None], 1)
        number = ops.maximum(ops.take_along_axis(assigned, places, 1), 0)
        number = ops.where(is_positive, number, 0)
        own_class = ops.take_along_axis(ops.cast(classes, "int32"), number, 1)
        return (
            ops.where(is_drawn[..., None], chosen, 0.0),
            _labels(own_class, self.classes, is_positive, is_drawn),
            number,
            ops.take_along_axis(boxes, number[..., None], 1),
            ops.logical_and(is_drawn, places >= objects),
        )

    def compute_output_spec(
        self, proposals: Any, *args: Any, **kwargs: Any
    ) -> tuple[Any, ...]:
        shape = (proposals.shape[0], None)
        return (
            keras.KerasTensor((*shape, 4), dtype="float32"),
            keras.KerasTensor(shape, dtype="int32"),
            keras.KerasTensor(shape, dtype="int32"),
            keras.KerasTensor((*shape, 4), dtype="float32"),
            keras.KerasTensor(shape, dtype="bool"),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "classes": self.classes,
            "count": self.count,
            "positive_share": self.positive_share,
            "iou": self.iou,
            "best_is_positive": self.best_is_positive,
            "stage": self.stage,
        }


@keras.saving.register_keras_serializable(package="keras_convnext")
class MaskSamples(keras.layers.Layer):
    """Chooses boxes for a mask head: in training those of objects, else the detections.

    Shapes: of `BoxSamples` boxes, labels and numbers, masks `(batch, objects, height,
    width)`, and the detections' boxes `(batch, detections, 4)` and classes `(batch,
    detections)` in. Out come boxes `(batch, count, 4)`, int32 classes `(batch, count)`,
    -1 for none, and the masks `(batch, count, 28, 28)` that are right, 0 or 1.

    Args:
        classes: Classes of objects.
        count: Boxes of an image in training.

    Source: arXiv:1703.06870, section 3.
    """

    def __init__(self, classes: int, count: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.classes = classes
        self.count = count

    def call(
        self,
        rois: Any,
        labels: Any,
        numbers: Any,
        masks: Any,
        detections: Any,
        classes: Any,
        training: bool | None = None,
    ) -> tuple[Any, ...]:
        size = 2 * MASK_SIZE
        if not training:
            nothing = ops.zeros((*ops.shape(classes), size, size))
            return detections, classes, nothing
        rois, labels, numbers = (x[:, : self.count] for x in (rois, labels, numbers))
        is_positive = ops.logical_and(labels >= 0, labels < self.classes)
        rois = ops.where(is_positive[..., None], rois, 0.0)
        return (
            rois,
            ops.where(is_positive, labels, _UNUSED),
            crop_masks(masks, numbers, rois, size),
        )

    def compute_output_spec(
        self, rois: Any, *args: Any, **kwargs: Any
    ) -> tuple[Any, ...]:
        shape = (rois.shape[0], None)
        return (
            keras.KerasTensor((*shape, 4), dtype="float32"),
            keras.KerasTensor(shape, dtype="int32"),
            keras.KerasTensor((*shape, 2 * MASK_SIZE, 2 * MASK_SIZE), dtype="float32"),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "classes": self.classes,
            "count": self.count,
        }


def _labels(of_object: Any, background: int, is_positive: Any, is_drawn: Any) -> Any:
    return ops.where(is_positive, of_object, ops.where(is_drawn, background, _UNUSED))
