"""Detectors by name: `create("mask_rcnn_convnext_tiny.coco")`."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.detection.cascade import CascadeMaskRCNN
from keras_convnext.detection.checkpoints import COCO_CLASSES, find
from keras_convnext.detection.mask_rcnn import MaskRCNN

# By the method, as in `METHODS`.
_BUILDERS = {"mask_rcnn": MaskRCNN, "cascade_mask_rcnn": CascadeMaskRCNN}
PREFIXES = tuple(f"{method}_" for method in _BUILDERS)
# What `create` says where no weights are given.
_BY_NAME = "by name"


def create_detector(name: str, weights: str | None, **overrides: Any) -> keras.Model:
    """Builds what `keras_convnext.create` calls `name`.

    Args:
        name: "mask_rcnn_" or "cascade_mask_rcnn_" and a variant, or a published
            detector.
        weights: None for random ones, a file, or `_BY_NAME`.
        **overrides: Arguments of `MaskRCNN`.

    Raises:
        ValueError: There is no such variant or checkpoint.
    """
    method = next(each for each in _BUILDERS if name.startswith(f"{each}_"))
    build = _BUILDERS[method]
    backbone, _, tag = name.removeprefix(f"{method}_").partition(".")
    if not tag:
        return build(
            backbone, weights=None if weights == _BY_NAME else weights, **overrides
        )
    record = find(name)
    source: Any = record.weights if weights == _BY_NAME else weights
    arguments = {"classes": COCO_CLASSES, **overrides}
    return build(record.weights.variant, weights=source, **arguments)
