"""mIoU and its company, against sets of pixels and mmsegmentation's recorded rules."""

import numpy as np
import pytest

from keras_convnext.segmentation import count_pixels, mean_iou, score
from tests.keras_convnext.reference import openmmlab


def ious_by_sets(labels, predictions, classes):
    """The definition, with Python's sets of places."""
    places = [place for place, label in enumerate(labels) if label != 255]
    found = []
    for number in range(classes):
        true = {place for place in places if labels[place] == number}
        predicted = {place for place in places if predictions[place] == number}
        union = true | predicted
        found.append(len(true & predicted) / len(union) if union else np.nan)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_it_is_intersection_over_union_of_sets_of_pixels(seed):
    random = np.random.default_rng(seed)
    labels = random.choice([0, 1, 2, 5, 255], 500)
    predictions = random.integers(0, 5, 500)
    predictions[predictions == 3] = 6
    expected = ious_by_sets(labels.tolist(), predictions.tolist(), 8)
    counts = count_pixels(labels, predictions, 8)
    np.testing.assert_allclose(score(counts).iou, expected, rtol=1e-15)
    assert mean_iou(labels, predictions, 8) == pytest.approx(np.nanmean(expected))


def test_it_is_mmsegmentations_on_maps_with_absent_classes_and_ignored_pixels():
    recorded = openmmlab.read("iou_metric")
    counts = sum(
        count_pixels(recorded[f"labels{image}"], recorded[f"predictions{image}"], 12)
        for image in range(4)
    )
    scores = score(counts)
    # Theirs are float32. One class is nowhere, one never predicted, one only predicted.
    assert np.isnan(scores.iou).sum() == 1
    assert np.count_nonzero(scores.iou == 0) == 2
    for name in ("iou", "accuracy", "pixel_accuracy"):
        found = getattr(scores, name)
        np.testing.assert_allclose(found, recorded[name], rtol=1e-6, err_msg=name)


def test_absent_classes_are_left_out_and_merely_predicted_ones_count_zero():
    # By hand: 2/4, 2/3, 1/2, 0/1; the fifth is nowhere.
    labels = np.array([0, 0, 0, 1, 1, 2, 255, 2])
    predictions = np.array([0, 0, 1, 1, 1, 2, 3, 3])
    scores = score(count_pixels(labels, predictions, 5))
    np.testing.assert_allclose(scores.iou, [2 / 3, 2 / 3, 1 / 2, 0, np.nan])
    np.testing.assert_allclose(scores.accuracy, [2 / 3, 1, 1 / 2, np.nan, np.nan])
    assert scores.pixel_accuracy == pytest.approx(5 / 7)
    assert scores.mean_accuracy == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)


def test_counts_of_images_add_up_and_the_metric_is_taken_of_the_sum():
    random = np.random.default_rng(1)
    labels, predictions = random.integers(0, 3, (2, 4, 60))
    summed = sum(
        count_pixels(*pair, 3) for pair in zip(labels, predictions, strict=True)
    )
    np.testing.assert_array_equal(summed, count_pixels(labels, predictions, 3))


@pytest.mark.parametrize(
    ("labels", "predictions", "said"),
    [
        ([0, 3], [0, 0], "a label lies outside 0..2"),
        ([0, 0], [0, -1], "a prediction lies outside 0..2"),
        ([0, 0], [0], "differ in shape"),
    ],
)
def test_numbers_that_are_no_class_are_one_line(labels, predictions, said):
    with pytest.raises(ValueError, match=said):
        count_pixels(labels, predictions, 3)
