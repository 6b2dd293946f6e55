"""The region proposal network: boxes that may hold an object of any class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_convnext.detection._anchors import RATIOS, anchors
from keras_convnext.detection._nms import NO_BOX, are_used, nms
from keras_convnext.detection.box_coding import STDS, clip_sides, decode_boxes
from keras_convnext.detection.box_overlap import has_area

# Of the five maps of `fpn`.
STRIDES = (4, 8, 16, 32, 64)
# Source: mmdetection 3.3.0, configs/_base_/models/mask-rcnn_r50_fpn.py.
PROPOSALS = 1000
_IOU_THRESHOLD = 0.7


def rpn_head(channels: int, dtype: Any = None) -> Callable[[Any], tuple[Any, Any]]:
    """Returns a function that applies the same three convolutions to each map.

    From a map `(batch, h, w, channels)` to the logits `(batch, h, w, 3)` that an anchor
    holds an object, and the differences `(batch, h, w, 12)` of that object's box from
    the anchor's, dx, dy, dw, dh of each.

    Args:
        channels: Of the maps.
        dtype: Dtype policy of the first convolution; the others compute in float32.

    Source: arXiv:1506.01497, section 3.1.
    """

    def conv(filters: int, side: int, name: str, **kwargs: Any) -> Any:
        return keras.layers.Conv2D(
            filters,
            side,
            padding="same",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            name=f"rpn_{name}",
            **kwargs,
        )

    first = conv(channels, 3, "conv", activation="relu", dtype=dtype)
    to_logits = conv(len(RATIOS), 1, "logits", dtype="float32")
    to_deltas = conv(4 * len(RATIOS), 1, "deltas", dtype="float32")

    def head(level: Any) -> tuple[Any, Any]:
        features = first(level)
        return to_logits(features), to_deltas(features)

    return head


@keras.saving.register_keras_serializable(package="keras_convnext")
class Proposals(keras.layers.Layer):
    """Decodes what a region proposal network says to boxes, the best first.

    Of each level the anchors with the highest logits count; what overlaps a better
    box of its level by more than 0.7 is dropped.

    Shapes: logits `(batch, h, w, 3)` and differences `(batch, h, w, 12)` of each level
    and images `(batch, height, width, channels)`, or their sizes `(batch, 2)`, in;
    boxes `(batch, max_outputs, 4)` out: y0, x0, y1, x1 in pixels, zeros where there are
    no more.

    Args:
        max_outputs: Boxes for an image at most.
        per_level: Anchors of a level that count at most.
        strides: Of the levels, in pixels.
        training_outputs: `max_outputs` in training, the same unless given.
        training_per_level: `per_level` in training, the same unless given.

    Source: arXiv:1506.01497, section 3.3, as mmdetection 3.3.0 has it.
    """

    def __init__(
        self,
        max_outputs: int = PROPOSALS,
        per_level: int = PROPOSALS,
        strides: Sequence[int] = STRIDES,
        training_outputs: int | None = None,
        training_per_level: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.max_outputs = max_outputs
        self.per_level = per_level
        self.strides = tuple(strides)
        self.training_outputs = training_outputs or max_outputs
        self.training_per_level = training_per_level or per_level

    def call(
        self,
        logits: Sequence[Any],
        deltas: Sequence[Any],
        image: Any,
        training: bool | None = None,
    ) -> Any:
        size = clip_sides(image, axes=2)
        most = self.training_outputs if training else self.max_outputs
        wanted = self.training_per_level if training else self.per_level
        boxes, scores, levels = [], [], []
        for level, stride in enumerate(self.strides):
            height, width = ops.shape(logits[level])[1:3]
            some, their_logits, _ = best_boxes(
                ops.stop_gradient(logits[level]),
                ops.stop_gradient(deltas[level]),
                anchors(height, width, stride),
                size,
                wanted,
            )
            boxes.append(some)
            scores.append(their_logits)
            levels.append(ops.full(ops.shape(their_logits), level, "int32"))
        all_boxes = ops.concatenate(boxes, 1)
        kept, count = nms(
            all_boxes,
            ops.concatenate(scores, 1),
            ops.concatenate(levels, 1),
            iou_threshold=_IOU_THRESHOLD,
            max_outputs=most,
        )
        best = ops.take_along_axis(all_boxes, kept[..., None], 1)
        return ops.where(are_used(count, most)[..., None], best, 0.0)

    def compute_output_spec(
        self,
        logits: Sequence[Any],
        deltas: Sequence[Any],
        image: Any,
        training: bool | None = None,
    ) -> Any:
        same = self.training_outputs == self.max_outputs
        shape = (image.shape[0], self.max_outputs if same else None, 4)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_outputs": self.max_outputs,
            "per_level": self.per_level,
            "strides": self.strides,
            "training_outputs": self.training_outputs,
            "training_per_level": self.training_per_level,
        }


def best_boxes(
    logits: Any,
    deltas: Any,
    references: Any,
    size: tuple[Any, Any],
    wanted: int,
    stds: Sequence[float] = STDS,
) -> tuple[Any, Any, Any]:
    """Returns the boxes of one level with the highest logits, clipped to the image.

    Probabilities would do as well, if those of float32 did not all become 1: above 10
    many logits have the same, and which box is better would be for rounding to say.

    Args:
        logits: Map `(batch, h, w, anchors * classes)`.
        deltas: Map `(batch, h, w, anchors * 4)`: dx, dy, dw, dh of each.
        references: Its anchors, `(h * w * anchors, 4)`: y0, x0, y1, x1 in pixels.
        size: As in `decode_boxes`.
        wanted: How many there are to be at most, of all classes together.
        stds: As in `decode_boxes`.

    Returns:
        Boxes `(batch, n, 4)`, their logits `(batch, n)`, falling, minus infinity where
        there is no box, and int32 classes `(batch, n)`.
    """
    batch, height, width = ops.shape(logits)[:3]
    around = deltas.shape[-1] // 4
    classes = logits.shape[-1] // around
    logits = ops.reshape(logits, (batch, -1))
    deltas = ops.reshape(deltas, (batch, -1, 4))
    total = height * width * around * classes
    if isinstance(total, int):
        wanted = min(wanted, total)
    else:
        # The map may have fewer; how many is not known when the graph is made.
        logits = ops.pad(logits, [(0, 0), (0, wanted)], constant_values=NO_BOX)
        deltas = ops.pad(deltas, [(0, 0), (0, wanted), (0, 0)])
        references = ops.pad(references, [(0, wanted), (0, 0)])
    logits, index = ops.top_k(logits, wanted)
    index = ops.cast(index, "int32")
    anchor = index // classes
    boxes = decode_boxes(
        ops.take_along_axis(deltas, anchor[..., None], 1),
        ops.take(references, anchor, axis=0),
        stds,
        size,
    )
    logits = ops.where(has_area(boxes), logits, NO_BOX)
    return boxes, logits, index - anchor * classes
