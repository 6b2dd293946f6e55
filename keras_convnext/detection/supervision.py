"""What a detector is to learn from an image: its anchors, boxes and masks, chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keras import ops

from keras_convnext.detection import samples
from keras_convnext.detection._anchors import RATIOS
from keras_convnext.detection._training_settings import TrainingSettings


@dataclass(frozen=True)
class Supervision:
    """Adds to a detector that is being built what it needs in order to learn.

    Attributes:
        truth: Keras tensors "size", "boxes", "classes", "masks" and "seed".
        settings: How boxes are chosen.
        classes: Classes of objects.
        outputs: What the losses need, by name; it grows.
    """

    truth: Mapping[str, Any]
    settings: TrainingSettings
    classes: int
    outputs: dict[str, Any] = field(default_factory=dict)

    def keep(self, name: str, **tensors: Any) -> None:
        """Adds outputs, "name_key" for each."""
        self.outputs.update({f"{name}_{key}": x for key, x in tensors.items()})

    def sample_anchors(
        self, levels: list[Any], head: Callable[[Any], tuple[Any, Any]]
    ) -> None:
        """Chooses the anchors that the region proposal network learns from.

        It is applied to what it sees of them once more, and learns from this alone: its
        gradient is zero everywhere else, and the maps have hundreds of times the cells.

        Args:
            levels: Maps of the pyramid.
            head: Of `rpn_head`.
        """
        layer = samples.AnchorSamples(
            self.settings.anchor_samples,
            self.settings.anchor_positive_share,
            self.settings.anchors_may_cross_border,
            name="rpn_samples",
        )
        truth = (self.truth[key] for key in ("size", "boxes", "classes", "seed"))
        cells, ratios, labels, targets = layer(levels, *truth)
        logits, deltas = (
            ops.reshape(each[:, 1, 1], (-1, layer.count, len(RATIOS), width))
            for each, width in zip(head(cells), (1, 4), strict=True)
        )
        ratios = ratios[..., None, None]
        self.keep(
            "rpn",
            logits=ops.take_along_axis(logits, ratios, 2)[:, :, 0, 0],
            deltas=ops.take_along_axis(deltas, ratios, 2)[:, :, 0],
            labels=labels,
            targets=targets,
        )

    def sample_boxes(self, stage: int, boxes: Any) -> tuple[Any, tuple[Any, Any]]:
        """Chooses the boxes that a stage learns from.

        Returns:
            The boxes; and their labels and which are proposals, as `RefineBoxes` takes
            them.
        """
        layer = samples.BoxSamples(
            self.classes,
            self.settings.box_samples,
            self.settings.box_positive_share,
            self.settings.box_ious[stage],
            self.settings.best_boxes_are_positive,
            stage,
            name=f"box{stage}_samples",
        )
        truth = (self.truth[key] for key in ("boxes", "classes", "seed"))
        rois, labels, numbers, objects, is_proposal = layer(boxes, *truth)
        self.keep(
            f"box{stage}", rois=rois, labels=labels, numbers=numbers, objects=objects
        )
        return rois, (labels, is_proposal)

    def sample_masks(self, stage: int, boxes: Any, classes: Any) -> tuple[Any, Any]:
        """Chooses the boxes whose masks a stage learns; in use, the detections."""
        layer = samples.MaskSamples(
            self.classes, self.settings.most_positive_boxes, name=f"mask{stage}_samples"
        )
        of_stage = (
            self.outputs[f"box{stage}_{key}"] for key in ("rois", "labels", "numbers")
        )
        chosen, labels, targets = layer(*of_stage, self.truth["masks"], boxes, classes)
        self.keep(f"mask{stage}", labels=labels, targets=targets)
        return chosen, labels
