"""Figures of images with several labels, beside scikit-learn's own."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import average_precision_score, f1_score

from training.evaluation.label_metrics import (
    LabelPredictions,
    average_precision,
    binary_cross_entropy,
    f1_micro,
    f1_scores,
    fit_thresholds,
)

# Both are sums of a few hundred float64 of about 1.
TOLERANCE = 1e-9


def some(seed: int, count: int = 200, labels: int = 7, digits: int = 8):
    """Truth and probabilities that know something of it; few digits make ties."""
    rng = np.random.default_rng(seed)
    truth = rng.random((count, labels)) < rng.uniform(0.05, 0.6, labels)
    truth[0] = True
    scores = np.clip(0.3 * truth + rng.random((count, labels)) * 0.7, 0, 1)
    return truth, np.round(scores, digits)


@pytest.mark.parametrize("digits", [8, 1])
@pytest.mark.parametrize("seed", range(3))
def test_average_precisions_are_scikit_learns(seed, digits):
    truth, scores = some(seed, digits=digits)
    found = LabelPredictions(truth, scores, np.zeros(len(truth)))
    np.testing.assert_allclose(
        found.average_precisions,
        average_precision_score(truth, scores, average=None),
        atol=TOLERANCE,
    )
    for average, figure in (
        ("macro", found.mean_average_precision),
        ("micro", found.micro_average_precision),
    ):
        expected = average_precision_score(truth, scores, average=average)
        assert abs(figure - expected) < TOLERANCE


@pytest.mark.parametrize("seed", range(3))
def test_f1_is_scikit_learns_also_of_labels_that_nobody_has_or_says(seed):
    truth, scores = some(seed)
    truth[:, 2] = False
    decided = scores > 0.5
    decided[:, 3] = False
    truth[:, 4] = decided[:, 4] = False
    options = {"zero_division": 0}
    np.testing.assert_allclose(
        f1_scores(truth, decided),
        f1_score(truth, decided, average=None, **options),
        atol=TOLERANCE,
    )
    expected = f1_score(truth, decided, average="micro", **options)
    assert abs(f1_micro(truth, decided) - expected) < TOLERANCE
    figures = LabelPredictions(truth, scores, np.zeros(len(truth))).figures(0.5)
    expected = f1_score(truth, scores > 0.5, average="macro", **options)
    assert abs(figures["f1_macro"] - expected) < TOLERANCE
    assert figures["f1_macro"] == figures["f1_macro_fitted"]


def test_a_label_that_no_image_has_is_left_out_of_the_mean():
    truth, scores = some(0)
    truth[:, 1] = False
    found = LabelPredictions(truth, scores, np.zeros(len(truth)))
    assert np.isnan(found.average_precisions[1])
    rest = [0, 2, 3, 4, 5, 6]
    expected = average_precision_score(truth[:, rest], scores[:, rest])
    assert abs(found.mean_average_precision - expected) < TOLERANCE
    nobody = LabelPredictions(np.zeros_like(truth), scores, np.zeros(len(truth)))
    assert nobody.mean_average_precision == nobody.micro_average_precision == 0.0


def test_average_precision_by_hand():
    # Ranked: yes, no, yes. Precision 1 at recall 1/2, 2/3 at recall 1.
    found = average_precision(np.array([True, True, False]), np.array([0.9, 0.1, 0.5]))
    assert abs(found - (1 / 2 + 2 / 3 / 2)) < TOLERANCE


def f1(truth, chosen):
    """By its formula; scikit-learn's takes milliseconds a call."""
    return 2 * np.sum(truth & chosen) / max(1, np.sum(truth) + np.sum(chosen))


@pytest.mark.parametrize("digits", [8, 1])
@pytest.mark.parametrize("seed", range(3))
def test_no_threshold_has_a_higher_f1_than_the_fitted_one(seed, digits):
    truth, scores = some(seed, count=60, labels=3, digits=digits)
    fitted = fit_thresholds(truth, scores)
    candidates = [-1.0, *np.unique(scores), *(np.unique(scores) + 1e-9)]
    for label, threshold in enumerate(fitted):
        best = max(
            f1(truth[:, label], scores[:, label] > limit) for limit in candidates
        )
        own = f1_score(truth[:, label], scores[:, label] > threshold)
        assert abs(own - best) < TOLERANCE


def test_thresholds_lie_in_the_middle_and_near_a_half():
    truth = np.array([[False, True, False], [True, True, False]])
    scores = np.array([[0.2, 0.3, 0.9], [0.8, 0.3, 0.1]])
    # Between 0.2 and 0.8; below 0.3 where all have it; usual where nobody has.
    np.testing.assert_allclose(fit_thresholds(truth, scores), [0.5, 0.15, 0.5])


def test_binary_cross_entropy_is_its_formula():
    truth = np.array([[True, False], [True, True]])
    scores = np.array([[0.9, 0.2], [0.5, 0.0]])
    expected = [-(np.log(0.9) + np.log(0.8)) / 2, -(np.log(0.5) + np.log(1e-30)) / 2]
    np.testing.assert_allclose(binary_cross_entropy(truth, scores), expected)


def test_scikit_learn_warns_where_this_leaves_out():
    """What "left out" means: scikit-learn counts such a label as 0, with a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((UndefinedMetricWarning, UserWarning)):
            average_precision_score(np.array([0, 0]), np.array([0.1, 0.2]))
