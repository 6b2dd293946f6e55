"""How Mask R-CNN and its cascade are trained: two rows of mmdetection's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of a method's training.

    Attributes:
        proposals: Boxes of an image after suppression, at most.
        per_level: Anchors of a level that may become proposals.
        anchor_samples: Anchors of an image that count.
        anchor_positive_share: Share of them that may be objects', at most, 0 to 1.
        anchors_may_cross_border: Whether anchors count that do not lie in the image.
        anchor_beta: Of the SmoothL1 loss of anchors' differences, below which it is a
            square with the factor 1 / (2 beta); 0 for L1.
        box_samples: Boxes of an image that a stage learns from.
        box_positive_share: Share of them that may be objects', at most, 0 to 1.
        box_ious: Of each stage, the overlap from which on a box is an object's.
        best_boxes_are_positive: Whether an object's best box is its too, from an
            overlap of 0.5 on.
        box_loss: "l1" of the differences, or "giou" of the boxes.
        box_loss_weight: Factor of that loss.
        stage_weights: Factors of each stage's losses.

    Source: github.com/open-mmlab/mmdetection 3.3.0, configs/_base_/models and
        configs/convnext.

    Example:
        >>> from keras_convnext.detection import TrainingSettings
        >>> TrainingSettings(box_samples=64).most_positive_boxes
        16
    """

    proposals: int = 1000
    per_level: int = 2000
    anchor_samples: int = 256
    anchor_positive_share: float = 0.5
    anchors_may_cross_border: bool = True
    anchor_beta: float = 0.0
    box_samples: int = 512
    box_positive_share: float = 0.25
    box_ious: tuple[float, ...] = (0.5,)
    best_boxes_are_positive: bool = True
    box_loss: str = "l1"
    box_loss_weight: float = 1.0
    stage_weights: tuple[float, ...] = (1.0,)

    @property
    def most_positive_boxes(self) -> int:
        """Boxes of objects that a stage learns from, at most."""
        return most_positive(self.box_samples, self.box_positive_share)


def most_positive(count: int, share: float) -> int:
    """Returns how many of an image's samples may be objects': one at least."""
    return max(math.floor(count * share), 1)


METHODS = {
    "mask_rcnn": TrainingSettings(),
    "cascade_mask_rcnn": TrainingSettings(
        proposals=2000,
        anchors_may_cross_border=False,
        anchor_beta=1 / 9,
        box_ious=(0.5, 0.6, 0.7),
        best_boxes_are_positive=False,
        box_loss="giou",
        box_loss_weight=10.0,
        stage_weights=(1.0, 0.5, 0.25),
    ),
}


def training_settings(method: str, **overrides: Any) -> TrainingSettings:
    """Returns the settings of a method's training.

    Args:
        method: "mask_rcnn" or "cascade_mask_rcnn".
        **overrides: Fields of `TrainingSettings` that differ: small runs take fewer
            proposals and samples.

    Raises:
        ValueError: There is no such method.

    Source: github.com/open-mmlab/mmdetection 3.3.0.

    Example:
        >>> from keras_convnext.detection import training_settings
        >>> training_settings("mask_rcnn", box_samples=128).most_positive_boxes
        32
    """
    if method not in METHODS:
        raise ValueError(
            f"There is no method {method!r} of detection; there are "
            f"{' and '.join(METHODS)}."
        )
    return replace(METHODS[method], **overrides)
