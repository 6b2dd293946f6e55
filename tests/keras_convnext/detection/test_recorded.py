"""Both detectors, and what they learn from, against what mmdetection 3.3.0 computed."""

import re

import keras
import numpy as np
import pytest

from keras_convnext.detection import (
    detection_losses,
    paste_masks,
    training_settings,
)
from keras_convnext.detection.detector import detect
from keras_convnext.detection.losses import rpn_losses, stage_losses
from keras_convnext.detection.roi_heads import Limits
from keras_convnext.detection.supervision import Supervision
from tests.keras_convnext.reference import openmmlab

METHODS = [
    "mask_rcnn",
    pytest.param("cascade_mask_rcnn", marks=pytest.mark.slow),
]
CLASSES, SIZE = 5, (120, 150)
# Ours on the left, mmdetection's on the right; stages have a number before the point.
NAMES = {
    r"fpn_lateral(\d)": r"neck.lateral_convs.\1.",
    r"fpn_output(\d)": r"neck.fpn_convs.\1.",
    "rpn_conv": "rpn_head.rpn_conv.",
    "rpn_logits": "rpn_head.rpn_cls.",
    "rpn_deltas": "rpn_head.rpn_reg.",
    r"box(\d?)_(?:conv|norm)(\d)": r"roi_head.bbox_head.\1.shared_convs.\2.",
    r"box(\d?)_fc(\d)": r"roi_head.bbox_head.\1.shared_fcs.\2.",
    r"box(\d?)_logits": r"roi_head.bbox_head.\1.fc_cls.",
    r"box(\d?)_deltas": r"roi_head.bbox_head.\1.fc_reg.",
    r"mask(\d?)_conv(\d)": r"roi_head.mask_head.\1.convs.\2.",
    r"mask(\d?)_upsample": r"roi_head.mask_head.\1.upsample.",
    r"mask(\d?)_logits": r"roi_head.mask_head.\1.conv_logits.",
}


def find(layer):
    pattern, name = next(each for each in NAMES.items() if re.fullmatch(each[0], layer))
    return re.sub(pattern, name, layer).replace("..", ".")


def build(method, tensors, learns=False):
    """Returns a detector of given maps with the recorded weights, and its inputs."""
    settings = training_settings(
        method,
        proposals=60,
        per_level=200,
        # All that there are: nothing is drawn.
        anchor_samples=6000,
        anchor_positive_share=1.0,
        box_samples=64,
        box_positive_share=1.0,
    )
    names = [f"feature{level}" for level in range(4)]
    maps = {name: keras.Input(tensors[name].shape[1:], name=name) for name in names}
    shapes = {"size": (2,), "boxes": (None, 4), "classes": (None,), "seed": (2,)}
    truth = {
        name: keras.Input(
            shape, dtype="float32" if name == "boxes" else "int32", name=name
        )
        for name, shape in {**shapes, "masks": (None, *SIZE)}.items()
    }
    supervision = Supervision(truth, settings, CLASSES) if learns else None
    outputs = detect(
        list(maps.values()),
        truth["size"],
        Limits(40, 20, per_level=200),
        stages=len(settings.stage_weights),
        classes=CLASSES,
        channels=16,
        units=32,
        supervision=supervision,
    )
    inputs = {**maps, "size": truth["size"]}
    if supervision is not None:
        inputs, outputs = {**maps, **truth}, outputs | supervision.outputs
    model = keras.Model(inputs, outputs)
    openmmlab.assign(model, tensors, find)
    values = {name: tensors[name] for name in maps}
    return model, {**values, "size": np.array([SIZE], "int32")}, settings


def flipped(boxes):
    return boxes[..., [1, 0, 3, 2]]


def by_place(boxes):
    """Returns an order of boxes that only their places decide."""
    return np.lexsort(np.round(boxes, 2).T)


@pytest.mark.parametrize("method", METHODS)
def test_proposals_boxes_scores_and_masks_are_mmdetections(method):
    tensors = openmmlab.read(f"{method}_small")
    model, inputs, _ = build(method, tensors)
    proposals = model.get_layer("proposals").output
    found = keras.Model(model.input, {**model.output, "proposals": proposals})(inputs)
    found = {name: np.asarray(value)[0] for name, value in found.items()}
    # Pixels, after exponentials in float32; the same proposals in the same order.
    np.testing.assert_allclose(
        flipped(found["proposals"]), tensors["proposals"], atol=1e-3
    )
    count = len(tensors["boxes"])
    assert found["count"] == count
    np.testing.assert_array_equal(found["classes"][:count], tensors["labels"])
    # Measured: 1.7e-5, from proposals that differ by a ten-thousandth of a pixel.
    np.testing.assert_allclose(found["scores"][:count], tensors["scores"], atol=5e-5)
    boxes = found["boxes"][:count]
    np.testing.assert_allclose(flipped(boxes), tensors["boxes"], atol=2e-3)
    masks = paste_masks(found["masks"][:count], boxes, *SIZE)
    shape = tensors["masks_shape"]
    expected = np.unpackbits(tensors["masks"], count=np.prod(shape)).reshape(shape)
    assert expected.any()
    # Pixels whose probability is one half, as near as float32 tells.
    assert (masks != expected.astype(bool)).sum() <= 2


def learner(method):
    """Returns a network that learns, its inputs and settings, and what is recorded."""
    tensors = openmmlab.read(f"{method}_small")
    recorded = {
        name.removeprefix("train/"): value
        for name, value in openmmlab.read(f"{method}_small_train").items()
    }
    model, inputs, settings = build(method, tensors, learns=True)
    for layer in model.layers:
        # Recorded with the averages of batch normalization.
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    shape = recorded["gt_masks_shape"]
    masks = np.unpackbits(recorded["gt_masks"], count=np.prod(shape)).reshape(shape)
    truth = {
        "boxes": flipped(recorded["gt_boxes"])[None],
        "classes": recorded["gt_labels"][None].astype("int32"),
        "masks": masks[None].astype("int32"),
        "seed": np.zeros((1, 2), "int32"),
    }
    return model, {**inputs, **truth}, settings, recorded


@pytest.mark.parametrize("method", METHODS)
def test_what_it_learns_from_and_its_losses_are_mmdetections(method):
    model, inputs, settings, recorded = learner(method)
    outputs = model(inputs, training=True)
    found = [float(loss[0]) for loss in rpn_losses(outputs, settings).values()]
    expected = [recorded[f"loss/loss_rpn_{kind}"].sum() for kind in ("cls", "bbox")]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    weights = settings.stage_weights
    for stage, weight in enumerate(weights):
        rois = flipped(np.asarray(outputs[f"box{stage}_rois"])[0])
        labels = np.asarray(outputs[f"box{stage}_labels"])[0]
        their_rois = recorded[f"box{stage}/rois"]
        their_labels = recorded[f"box{stage}/labels"]
        order, their_order = by_place(rois), by_place(their_rois)
        # Pixels, after exponentials in float32.
        np.testing.assert_allclose(rois[order], their_rois[their_order], atol=2e-3)
        np.testing.assert_array_equal(labels[order], their_labels[their_order])
        # Boxes of objects come first in both.
        count, *side = shape = recorded[f"mask{stage}/n"]
        assert [*(labels < CLASSES)] == [True] * count + [False] * (64 - count)
        bits = np.unpackbits(recorded[f"mask{stage}/mask_targets"])
        expected = bits[: np.prod(shape)].reshape(shape)
        targets = np.asarray(outputs[f"mask{stage}_targets"])[0, :count]
        assert targets.shape[1:] == tuple(side)
        np.testing.assert_array_equal(
            targets[by_place(rois[:count])], expected[by_place(their_rois[:count])]
        )
        losses = stage_losses(outputs, stage, settings)
        prefix = f"s{stage}." if len(weights) > 1 else ""
        expected = [
            recorded[f"loss/{prefix}loss_{kind}"] for kind in ("cls", "bbox", "mask")
        ]
        found = [weight * float(loss[0]) for loss in losses.values()]
        np.testing.assert_allclose(found, expected, rtol=2e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a gradient tape")
@pytest.mark.parametrize("method", METHODS)
def test_gradients_by_all_weights_and_maps_are_mmdetections(method):
    import tensorflow as tf

    model, inputs, settings, _ = learner(method)
    tensors = openmmlab.read(f"{method}_small")
    inputs = {name: tf.constant(value) for name, value in inputs.items()}
    weights = {
        openmmlab.name_of(v, tensors, find): v.value
        for v in model.weights
        if "moving" not in v.path
    }
    maps = {name: value for name, value in inputs.items() if "feature" in name}
    watched = {**weights, **maps}
    with tf.GradientTape() as tape:
        tape.watch([*watched.values()])
        outputs = model(inputs, training=True)
        loss = detection_losses(outputs, settings)["loss"][0]
    gradients = tape.gradient(loss, watched, unconnected_gradients="zero")
    recorded = openmmlab.read(f"{method}_small_gradients")
    np.testing.assert_allclose(loss, recorded["total"], rtol=1e-5)
    assert set(watched) == {*recorded["names"]}
    differences = {}
    for name, norm, expected in zip(
        recorded["names"], recorded["norms"], recorded["products"], strict=True
    ):
        gradient = np.asarray(gradients[name], np.float64)
        directions = openmmlab.directions(name, tensors[name].shape)
        if name in weights:
            directions = [openmmlab.from_torch(d, gradient.shape) for d in directions]
        products = np.array([np.sum(gradient * each) for each in directions])
        norm_of_difference = np.sqrt(np.mean((products - expected) ** 2))
        # A level that no box lies on has none.
        assert norm or not gradient.any()
        differences[name] = norm_of_difference / (norm or 1)
    # Float32: 1.3e-5 measured.
    assert np.quantile([*differences.values()], 0.8) < 5e-5, differences
    # In the cascade's last stage one of 50,000 activations is so near zero that it is
    # on the other side of it, where ReLU's gradient jumps: 3.1e-3 measured.
    most = 5e-5 if method == "mask_rcnn" else 1e-2
    assert max(differences.values()) < most, differences
