"""Images of no class: the constant logit, and figures as scikit-learn's."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.neighbors import NearestNeighbors

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


@pytest.mark.parametrize("neighbors", [1, 3, 40])
def test_cosines_to_neighbors_are_scikit_learns(neighbors):
    random = np.random.default_rng(3)
    bank, features = random.normal(0, 1, (40, 8)), random.normal(0, 3, (25, 8))
    search = NearestNeighbors(n_neighbors=neighbors, metric="cosine").fit(bank)
    distances, _ = search.kneighbors(features)
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    found = unknown.cosines_to_neighbors(features, bank, neighbors)
    np.testing.assert_allclose(found, 1 - distances[:, -1], rtol=0, atol=1e-12)


def test_a_bank_has_as_many_images_of_each_class_as_there_are():
    labels = np.random.default_rng(4).permutation(np.repeat([0, 1, 2], [50, 30, 4]))
    numbers = unknown.pick_bank(labels, 24)
    assert len(set(numbers.tolist())) == 24
    assert np.bincount(labels[numbers]).tolist() == [10, 10, 4]
    assert len(unknown.pick_bank(labels, 1000)) == 84


def test_a_neighborhood_keeps_the_share_and_takes_a_tenth_at_the_median():
    random = np.random.default_rng(5)
    bank, features = random.normal(1, 1, (60, 8)), random.normal(1, 1, (101, 8))
    near = unknown.fit_neighborhood(bank, features, 0.9)
    cosines = unknown.cosines_to_neighbors(features, near.bank, near.neighbors)
    assert near.neighbors == 10
    assert np.sum(cosines > near.threshold) == 91
    odds = np.exp(near.slope * (near.threshold - np.median(cosines)))
    assert odds / (1 + odds) == pytest.approx(0.1)
