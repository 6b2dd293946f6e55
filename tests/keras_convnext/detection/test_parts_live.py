"""RoIAlign and non-maximum suppression against torchvision's. Run by `make parity`."""

import importlib.util

import numpy as np
import pytest

from keras_convnext.detection import nms, roi_align
from keras_convnext.detection.assignment import assign
from keras_convnext.detection.box_overlap import box_giou

if importlib.util.find_spec("torch") is None:
    pytest.skip("PyTorch is not installed: see make parity", allow_module_level=True)

import torch

import tests.keras_convnext.weights.oracle  # noqa: F401, before torchvision
from tests.keras_convnext.detection.test_nms import random_case

# isort: split
from torchvision.extension import _has_ops
from torchvision.ops import batched_nms
from torchvision.ops import roi_align as theirs


@pytest.mark.parametrize("size", [7, 14])
def test_features_of_boxes_are_torchvisions(size):
    random = np.random.default_rng(0)
    level = random.normal(size=(2, 50, 40, 3)).astype("float32")
    start = random.uniform(-20, 150, (2, 12, 2))
    sides = np.exp(random.uniform(-1, 5.5, (2, 12, 2)))
    boxes = np.concatenate([start, start + sides], -1).astype("float32")
    if not _has_ops():
        # Without compiled operators points outside are taken for the border's.
        boxes = boxes.clip(0, np.float32([200, 160, 200, 160]))
    found = np.asarray(roi_align([level], boxes, size, [4]))
    expected = theirs(
        torch.from_numpy(level.transpose(0, 3, 1, 2)),
        [torch.from_numpy(each[:, [1, 0, 3, 2]]) for each in boxes],
        size,
        spatial_scale=0.25,
        sampling_ratio=-1,
        aligned=True,
    )
    expected = expected.numpy().transpose(0, 2, 3, 1).reshape(found.shape)
    # A place of up to 50 cells has 4e-6 in float32, and the map has slopes of 4.
    np.testing.assert_allclose(found, expected, atol=5e-5)


@pytest.mark.skipif(not _has_ops(), reason="compiled for another torch")
def test_the_boxes_that_stay_are_torchvisions():
    boxes, scores, groups = random_case(600, 5)
    kept, count = nms(boxes, scores, groups, iou_threshold=0.6, max_outputs=600)
    for image in range(2):
        there = scores[image] > -np.inf
        expected = batched_nms(
            torch.from_numpy(boxes[image][there][:, [1, 0, 3, 2]]),
            torch.from_numpy(scores[image][there]),
            torch.from_numpy(groups[image][there]),
            0.6,
        )
        expected = np.flatnonzero(there)[expected.numpy()]
        np.testing.assert_array_equal(kept[image, : int(count[image])], expected)


def test_boxes_are_assigned_as_by_torchvisions_matcher():
    from torchvision.models.detection._utils import Matcher
    from torchvision.ops import box_iou

    boxes, _, _ = random_case(300, 1)
    objects, anchors = torch.from_numpy(boxes[0, :20]), torch.from_numpy(boxes[1])
    expected = Matcher(0.6, 0.4)(box_iou(objects, anchors))
    found = assign(
        boxes[1:],
        boxes[:1, :20],
        np.ones((1, 20), bool),
        np.ones((1, 300), bool),
        positive=0.6,
        negative=0.4,
    )
    assert {-2, -1} < set(expected.tolist())
    np.testing.assert_array_equal(found[0], expected)


def test_generalized_overlaps_are_torchvisions():
    from torchvision.ops import generalized_box_iou_loss

    boxes, _, _ = random_case(300, 1)
    one, other = (torch.from_numpy(each) for each in boxes)
    expected = generalized_box_iou_loss(one, other)
    # Float32 areas of up to 10,000.
    np.testing.assert_allclose(1 - box_giou(*boxes), expected, atol=1e-5)
