"""Wrong labels: planted ones are found, and those that cleanlab finds."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from training.evaluation import label_errors


@pytest.fixture(scope="module")
def planted():
    """Digits of which one in twenty has a wrong label, and what folds say of them."""
    images, labels = load_digits(return_X_y=True)
    random = np.random.default_rng(0)
    wrong = random.choice(len(labels), len(labels) // 20, replace=False)
    labels[wrong] = (labels[wrong] + random.integers(1, 10, len(wrong))) % 10
    classifier = LogisticRegression(max_iter=300)
    said = cross_val_predict(
        classifier, images / 16, labels, cv=3, method="predict_proba"
    )
    return labels, said, wrong


def test_most_of_the_planted_ones_are_found_and_few_others(planted):
    labels, said, wrong = planted
    found = label_errors.find(labels, said)
    right = np.isin(found, wrong)
    assert right.sum() >= 0.8 * len(wrong)
    assert right.mean() > 0.7
    # The surest ones come first.
    assert right[: len(wrong) // 2].mean() > 0.95


def test_they_are_those_of_cleanlab(planted):
    filters = pytest.importorskip("cleanlab.filter")
    random = np.random.default_rng(1)
    noise = random.dirichlet(np.ones(6), 500)
    for labels, said in (planted[:2], (random.integers(0, 6, 500), noise)):
        expected = filters.find_label_issues(
            labels,
            said,
            return_indices_ranked_by="self_confidence",
            n_jobs=1,
        )
        np.testing.assert_array_equal(label_errors.find(labels, said), expected)


def test_a_class_that_no_image_has_is_nobodys_true_one():
    said = np.array([[0.2, 0.1, 0.7], [0.9, 0.1, 0.0], [0.1, 0.8, 0.1]])
    assert label_errors.find(np.array([0, 0, 1]), said).tolist() == []
