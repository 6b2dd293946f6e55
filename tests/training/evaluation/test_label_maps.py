"""Counted pixels of a set of images."""

import numpy as np

from training.evaluation.label_maps import sum_up

# Rows are labels. In the first image half of class 0 is taken for class 1; the second
# has no class 0, and is right; the third has no labels.
FIRST = [[2, 2, 0], [0, 4, 0], [0, 0, 0]]
SECOND = [[0, 0, 0], [0, 1, 0], [0, 0, 3]]
IMAGES = np.array([FIRST, SECOND, np.zeros((3, 3))], np.int32)
ROWS = [
    {"counts": IMAGES[:1].reshape(1, 9), "losses": np.array([6.0], np.float32)},
    {"counts": IMAGES[1:].reshape(2, 9), "losses": np.array([3.0, 0.0], np.float32)},
]


def test_metrics_are_those_of_all_pixels_together():
    results = sum_up(ROWS, classes=3)
    # 2 of 4, 5 of 7 and 3 of 3.
    np.testing.assert_allclose(results.scores.iou, [1 / 2, 5 / 7, 1])
    assert results.scores.pixel_accuracy == 10 / 12
    assert results.loss == 9 / 12


def test_the_worst_images_are_those_with_the_lowest_iou_of_their_own():
    results = sum_up(ROWS, classes=3)
    # The mean of 2 of 4 and 4 of 6.
    np.testing.assert_allclose(results.image_iou, [7 / 12, 1, np.nan])
    assert results.worst_images(5).tolist() == [0, 1]


def test_the_pair_with_the_most_wrong_pixels_comes_first():
    assert sum_up(ROWS, classes=3).most_confused(5) == [(0, 1, 0.5)]


def test_label_maps_alone_have_no_loss():
    rows = [{"counts": IMAGES.reshape(3, 9)}]
    assert sum_up(rows, classes=3).loss is None
