"""Non-maximum suppression against the greedy loop."""

import keras
import numpy as np
import pytest

from keras_convnext.detection import nms
from tests.keras_convnext.detection.numpy_detector import greedy


def random_case(count, groups, seed=0):
    """Boxes of which many overlap, with scores of which some are equal."""
    random = np.random.default_rng(seed)
    start = random.uniform(0, 60, (2, count, 2))
    sides = random.uniform(1, 40, (2, count, 2))
    boxes = np.concatenate([start, start + sides], -1).astype("float32")
    scores = random.integers(0, 50, (2, count)).astype("float32") / 50
    scores[1, : count // 3] = -np.inf
    return boxes, scores, random.integers(0, groups, (2, count))


@pytest.mark.parametrize(
    ("count", "groups", "threshold", "most"),
    [(30, 1, 0.5, 40), (600, 3, 0.7, 500), (600, 20, 0.3, 50)],
)
def test_it_keeps_what_the_greedy_loop_keeps(count, groups, threshold, most):
    boxes, scores, of = random_case(count, groups)
    kept, found = nms(boxes, scores, of, iou_threshold=threshold, max_outputs=most)
    for image in range(2):
        expected = greedy(boxes[image], scores[image], of[image], threshold, most)
        assert int(found[image]) == len(expected)
        np.testing.assert_array_equal(kept[image, : len(expected)], expected)
        assert not np.any(kept[image, len(expected) :])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's")
@pytest.mark.parametrize("threshold", [0.3, 0.6])
def test_it_keeps_what_tensorflows_own_operator_keeps(threshold):
    import tensorflow as tf

    boxes, scores, groups = random_case(600, 5, seed=1)
    kept, count = nms(boxes, scores, groups, iou_threshold=threshold, max_outputs=600)
    for image in range(2):
        expected = []
        for group in range(5):
            own = (groups[image] == group) & (scores[image] > -np.inf)
            chosen = tf.image.non_max_suppression(
                boxes[image][own], scores[image][own], 600, threshold
            )
            expected += np.flatnonzero(own)[chosen].tolist()
        # Of equal scores the first place.
        expected.sort(key=lambda place: (-scores[image, place], place))
        assert kept[image, : int(count[image])].numpy().tolist() == expected


def test_only_more_than_the_threshold_suppresses():
    # A half of the first is the second: exactly 0.5.
    boxes = np.array([[[0, 0, 4, 4], [0, 0, 2, 4.0]]])
    scores = np.array([[0.9, 0.8]])
    assert int(nms(boxes, scores, iou_threshold=0.5)[1][0]) == 2
    assert int(nms(boxes, scores, iou_threshold=0.49)[1][0]) == 1


def test_no_boxes_are_kept_of_none():
    boxes, scores = np.zeros((1, 3, 4)), np.full((1, 3), -np.inf)
    kept, count = nms(boxes, scores, max_outputs=2)
    assert np.asarray(kept).tolist() == [[0, 0]]
    assert int(count[0]) == 0


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="XLA by name")
def test_it_compiles_and_takes_open_shapes():
    import tensorflow as tf

    boxes, scores, of = random_case(300, 2)
    expected = nms(boxes, scores, of)[0]
    compiled = tf.function(nms, jit_compile=True)(boxes, scores, of)[0]
    np.testing.assert_array_equal(compiled, expected)
    shapes = [
        tf.TensorSpec((None, None, 4)),
        tf.TensorSpec((None, None)),
        tf.TensorSpec((None, None), "int64"),
    ]
    opened = tf.function(nms, input_signature=shapes)(boxes, scores, of)[0]
    np.testing.assert_array_equal(opened, expected)
