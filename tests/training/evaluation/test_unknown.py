"""Images of no class: the constant logit, and figures as scikit-learn's."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score, roc_curve

from training.evaluation import unknown


@pytest.fixture
def scores():
    """Scores with ties, of 100 known images and 60 others."""
    random = np.random.default_rng(0)
    return np.round(random.normal(1, 1, 100), 1), np.round(random.normal(0, 1, 60), 1)


def test_the_area_is_scikit_learns(scores):
    truth = np.repeat([1, 0], [100, 60])
    expected = roc_auc_score(truth, np.concatenate(scores))
    assert unknown.auroc(*scores) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("recall", [0.5, 0.95, 0.99])
def test_the_false_positive_rate_is_that_of_scikit_learns_curve(scores, recall):
    truth = np.repeat([1, 0], [100, 60])
    # Every threshold, and the first that keeps enough known images.
    false, true, _ = roc_curve(truth, np.concatenate(scores), drop_intermediate=False)
    expected = false[np.flatnonzero(true >= recall)[0]]
    assert unknown.false_positive_rate(*scores, recall) == pytest.approx(expected)


def test_the_energy_is_scipys_and_does_not_overflow():
    logits = np.random.default_rng(1).normal(0, 200, (50, 7)).astype(np.float32)
    expected = logsumexp(logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(unknown.minus_energy(logits), expected, rtol=1e-12)


@pytest.mark.parametrize(("recall", "kept"), [(0.95, 19), (0.9, 18), (0.99, 20)])
def test_the_logit_keeps_the_share_of_images(recall, kept):
    logits = np.random.default_rng(2).normal(0, 1, (20, 5))
    logit = unknown.fit_logit(logits, recall)
    assert np.sum(logits.max(axis=1) > logit) == kept
