"""The losses of Mask R-CNN and of its cascade, from a training model's outputs.

Each is given as one number an image, whose mean over the batch is the loss: sums over
all images' boxes are divided by the number of all images' boxes, as mmdetection does on
each device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from keras_convnext.detection._training_settings import TrainingSettings
from keras_convnext.detection.box_coding import decode_boxes, encode_boxes
from keras_convnext.detection.box_heads import STDS
from keras_convnext.detection.box_overlap import box_giou

# Stands in for what is no object's, where sides of nothing would be divided by.
_A_BOX = np.array([0, 0, 1, 1], np.float32)


def detection_losses(
    outputs: Mapping[str, Any], settings: TrainingSettings
) -> dict[str, Any]:
    """Returns the losses of each image, float32 `(batch,)`.

    Args:
        outputs: Of the `training_model`, called with `training=True`.
        settings: That it was built with.

    Returns:
        "rpn_class_loss" and "rpn_box_loss" of the region proposal network;
        "box_class_loss", "box_loss" and, with masks, "mask_loss", summed over the
        stages with their weights; and the sum of all, "loss".

    Source: arXiv:1703.06870, section 3; arXiv:1712.00726, section 4.1.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.detection import TrainingSettings, detection_losses
        >>> label, zeros = np.ones((1, 1), "int32"), np.zeros((1, 1, 4), "float32")
        >>> box = np.array([[[0, 0, 4, 4]]], "float32")
        >>> outputs = {
        ...     **{"rpn_labels": label, "rpn_logits": zeros[..., 0]},
        ...     **{"rpn_deltas": zeros, "rpn_targets": zeros + 1},
        ...     **{"box0_labels": label, "box0_logits": zeros[0, :, :2]},
        ...     **{"box0_deltas": zeros[0], "box0_rois": box, "box0_objects": box},
        ... }
        >>> losses = detection_losses(outputs, TrainingSettings())
        >>> [round(float(losses[key][0]), 3) for key in ("rpn_class_loss", "loss")]
        [0.693, 5.386]
    """
    losses = rpn_losses(outputs, settings)
    for stage, weight in enumerate(settings.stage_weights):
        for name, loss in stage_losses(outputs, stage, settings).items():
            losses[name] = losses.get(name, 0.0) + weight * loss
    return {"loss": sum(losses.values()), **losses}


def rpn_losses(
    outputs: Mapping[str, Any], settings: TrainingSettings
) -> dict[str, Any]:
    """Returns the losses of the region proposal network."""
    labels = outputs["rpn_labels"]
    is_drawn, is_object = labels >= 0, ops.cast(labels == 1, "float32")
    of_class = ops.binary_crossentropy(
        is_object, outputs["rpn_logits"], from_logits=True
    )
    off = ops.abs(outputs["rpn_deltas"] - outputs["rpn_targets"])
    if settings.anchor_beta:
        beta = settings.anchor_beta
        off = ops.where(off < beta, off * off / (2 * beta), off - beta / 2)
    return {
        "rpn_class_loss": _shares(of_class, is_drawn, is_drawn),
        "rpn_box_loss": _shares(ops.sum(off, axis=-1), labels == 1, is_drawn),
    }


def stage_losses(
    outputs: Mapping[str, Any], stage: int, settings: TrainingSettings
) -> dict[str, Any]:
    """Returns the losses of a stage's heads, without the stage's weight."""
    labels, logits, deltas, rois, objects = (
        outputs[f"box{stage}_{key}"]
        for key in ("labels", "logits", "deltas", "rois", "objects")
    )
    shape = ops.shape(labels)
    is_drawn = labels >= 0
    logits = ops.reshape(logits, (*shape, logits.shape[-1]))
    classes = logits.shape[-1] - 1
    is_object = ops.logical_and(is_drawn, labels < classes)
    is_label = ops.one_hot(labels, classes + 1)
    of_class = -ops.sum(ops.log_softmax(logits) * is_label, axis=-1)
    deltas = ops.reshape(deltas, (*shape, classes, 4))
    deltas = ops.einsum("bnck,bnc->bnk", deltas, is_label[..., :-1])
    losses = {
        "box_class_loss": _shares(of_class, is_drawn, is_drawn),
        "box_loss": settings.box_loss_weight
        * _shares(
            _BOX_LOSSES[settings.box_loss](
                deltas,
                ops.where(is_object[..., None], rois, _A_BOX),
                ops.where(is_object[..., None], objects, _A_BOX),
                STDS[stage],
            ),
            is_object,
            is_drawn,
        ),
    }
    if f"mask{stage}_logits" in outputs:
        losses["mask_loss"] = _mask_loss(
            *(outputs[f"mask{stage}_{key}"] for key in ("logits", "labels", "targets"))
        )
    return losses


def _l1(deltas: Any, rois: Any, objects: Any, stds: Any) -> Any:
    targets = ops.stop_gradient(encode_boxes(objects, rois, stds))
    return ops.sum(ops.abs(deltas - targets), axis=-1)


def _giou(deltas: Any, rois: Any, objects: Any, stds: Any) -> Any:
    return 1 - box_giou(decode_boxes(deltas, rois, stds), objects)


_BOX_LOSSES = {"l1": _l1, "giou": _giou}


def _mask_loss(logits: Any, labels: Any, targets: Any) -> Any:
    shape = ops.shape(targets)
    classes = logits.shape[-1]
    # The class's own map; the others are not compared.
    is_label = ops.reshape(ops.one_hot(labels, classes), (-1, classes))
    own = ops.reshape(ops.einsum("nhwc,nc->nhw", logits, is_label), shape)
    of_pixels = ops.binary_crossentropy(targets, own, from_logits=True)
    is_object = labels >= 0
    return _shares(ops.mean(of_pixels, axis=(2, 3)), is_object, is_object)


def _shares(values: Any, is_counted: Any, is_drawn: Any) -> Any:
    """Returns each image's share of a mean over all that is drawn.

    Args:
        values: `(batch, n)`.
        is_counted: bool `(batch, n)`: whose values are summed.
        is_drawn: bool `(batch, n)`: by whose number the sum is divided.
    """
    sums = ops.sum(ops.where(is_counted, values, 0.0), axis=1)
    count = ops.maximum(ops.sum(ops.cast(is_drawn, "float32")), 1.0)
    return sums * ops.cast(ops.shape(values)[0], "float32") / count
