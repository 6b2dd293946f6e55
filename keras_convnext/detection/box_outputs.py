"""From what box heads say to boxes: a stage's better ones, and the detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_convnext.detection._nms import NO_BOX, are_used, nms
from keras_convnext.detection.box_coding import clip_sides, decode_boxes
from keras_convnext.detection.box_overlap import has_area

# What a detector's outputs are called; "masks" where it has them.
OUTPUTS = ("boxes", "scores", "classes", "count")


@keras.saving.register_keras_serializable(package="keras_convnext")
class RefineBoxes(keras.layers.Layer):
    """Moves boxes as a box head says, for the class of object that it finds likeliest.

    In training a box that was assigned to an object moves for the class of that, and
    true boxes that were added are taken away again.

    Shapes: boxes `(batch, boxes, 4)`, logits `(batch * boxes, classes + 1)`,
    differences `(batch * boxes, 4 * classes)` and images, or their sizes `(batch, 2)`,
    in, and for training labels and what is a proposal, of `BoxSamples`;
    `(batch, boxes, 4)` out.

    Args:
        stds: What the differences were divided by.

    Source: arXiv:1712.00726, section 4.1, as mmdetection 3.3.0 has it.
    """

    def __init__(self, stds: Sequence[float], **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.stds = tuple(stds)

    def call(
        self,
        boxes: Any,
        logits: Any,
        deltas: Any,
        image: Any,
        labels: Any = None,
        is_proposal: Any = None,
        training: bool | None = None,
    ) -> Any:
        deltas = ops.stop_gradient(deltas)
        classes = deltas.shape[-1] // 4
        # Not `argmax`, which looks at the bits of zeros, as no TFLite operator does.
        label = ops.cast(ops.top_k(logits[:, :classes], 1)[1][:, 0], "int32")
        if training and labels is not None:
            true = ops.reshape(labels, (-1,))
            is_object = ops.logical_and(true >= 0, true < classes)
            label = ops.where(is_object, true, label)
        deltas = ops.reshape(deltas, (-1, classes, 4))
        deltas = ops.take_along_axis(deltas, label[:, None, None], 1)
        deltas = ops.reshape(deltas, ops.shape(boxes))
        size = clip_sides(image, axes=2)
        moved = decode_boxes(deltas, boxes, self.stds, size)
        if training and is_proposal is not None:
            moved = ops.where(is_proposal[..., None], moved, 0.0)
        return moved

    def compute_output_spec(self, boxes: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor(boxes.shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stds": self.stds}


@keras.saving.register_keras_serializable(package="keras_convnext")
class Detections(keras.layers.Layer):
    """Chooses the objects: boxes of any class, the best first.

    Each box may become an object of several classes. What overlaps a better one of its
    class too much is dropped.

    Shapes: boxes `(batch, boxes, 4)`, logits `(batch * boxes, classes + 1)`,
    differences `(batch * boxes, 4 * classes)` and images, or their sizes `(batch, 2)`,
    in. Out come boxes `(batch, max_outputs, 4)`, scores `(batch, max_outputs)`, int32
    classes `(batch, max_outputs)` and int32 counts `(batch,)`. After the last object
    boxes and scores are 0 and classes -1.

    Args:
        stds: What the differences were divided by.
        max_outputs: Objects in an image at most.
        score_threshold: Probability that an object's must exceed.
        iou_threshold: Objects that overlap by more than this are dropped.

    Source: arXiv:1504.08083, section 3, as mmdetection 3.3.0 has it.
    """

    def __init__(
        self,
        stds: Sequence[float],
        max_outputs: int = 100,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.stds = tuple(stds)
        self.max_outputs = max_outputs
        self.score_threshold = score_threshold
        self.iou_threshold = iou_threshold

    def call(self, boxes: Any, logits: Any, deltas: Any, image: Any) -> tuple[Any, ...]:
        batch, count = ops.shape(boxes)[:2]
        classes = deltas.shape[-1] // 4
        deltas = ops.reshape(deltas, (batch, count, classes, 4))
        size = clip_sides(image, axes=3)
        decoded = decode_boxes(deltas, boxes[:, :, None, :], self.stds, size)
        scores = ops.reshape(ops.softmax(logits), (batch, count, classes + 1))[..., :-1]
        # Places without a proposal have no area.
        is_box = has_area(boxes)[..., None]
        is_object = ops.logical_and(scores > self.score_threshold, is_box)
        candidates = ops.where(is_object, scores, NO_BOX)
        labels = ops.broadcast_to(
            ops.arange(classes, dtype="int32"), ops.shape(candidates)
        )
        decoded = ops.reshape(decoded, (batch, -1, 4))
        candidates, labels = (
            ops.reshape(each, (batch, -1)) for each in (candidates, labels)
        )
        return self.choose(decoded, candidates, labels)

    def classes_of(self, logits: Any) -> int:
        """Returns how many classes there are; background is the last of the logits."""
        return int(logits.shape[-1]) - 1

    def choose(self, boxes: Any, scores: Any, labels: Any) -> tuple[Any, ...]:
        """Returns the outputs.

        Args:
            boxes: `(batch, boxes, 4)`.
            scores: `(batch, boxes)`; minus infinity stands for no box.
            labels: int32 `(batch, boxes)`, the boxes' classes.
        """
        kept, found = nms(
            boxes,
            scores,
            labels,
            iou_threshold=self.iou_threshold,
            max_outputs=self.max_outputs,
        )
        is_used = are_used(found, self.max_outputs)
        # ONNX files multiply unused places by zero, which makes no number of infinity.
        scores = ops.maximum(scores, 0.0)
        best = ops.take_along_axis(boxes, kept[..., None], 1)
        return (
            ops.where(is_used[..., None], best, 0.0),
            ops.where(is_used, ops.take_along_axis(scores, kept, 1), 0.0),
            ops.where(is_used, ops.take_along_axis(labels, kept, 1), -1),
            found,
        )

    def compute_output_spec(
        self, boxes: Any, logits: Any, deltas: Any, image: Any
    ) -> tuple[Any, ...]:
        batch = boxes.shape[0]
        return (
            keras.KerasTensor((batch, self.max_outputs, 4), dtype="float32"),
            keras.KerasTensor((batch, self.max_outputs), dtype="float32"),
            keras.KerasTensor((batch, self.max_outputs), dtype="int32"),
            keras.KerasTensor((batch,), dtype="int32"),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "stds": self.stds,
            "max_outputs": self.max_outputs,
            "score_threshold": self.score_threshold,
            "iou_threshold": self.iou_threshold,
        }
