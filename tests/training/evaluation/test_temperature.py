"""Temperatures: against SciPy's minimum, and planted ones found again."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from training.evaluation import temperature

CLASSES = 5


def draw(count, planted, seed=0):
    """Logits whose labels are drawn by their softmax, times a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2.0, size=(count, CLASSES))
    labels = np.array([rng.choice(CLASSES, p=row) for row in softmax(logits, axis=1)])
    return (logits * planted).astype(np.float32), labels


@pytest.mark.parametrize("planted", [0.2, 1.0, 3.7])
def test_it_is_where_scipy_finds_the_lowest_cross_entropy(planted):
    logits, labels = draw(400, planted)

    def cross_entropy(logarithm):
        rows = log_softmax(logits.astype(float) / np.exp(logarithm), axis=1)
        return -rows[np.arange(len(labels)), labels].mean()

    found = minimize_scalar(
        cross_entropy, bounds=(-5, 5), method="bounded", options={"xatol": 1e-10}
    )
    # The minimum is flat: SciPy's place is good to the root of float64's rounding.
    assert temperature.fit(logits, labels) == pytest.approx(np.exp(found.x), rel=1e-6)


def test_a_planted_temperature_is_found_again():
    logits, labels = draw(20_000, 2.5, seed=1)
    # Its standard error at so many images is below 1 %.
    assert temperature.fit(logits, labels) == pytest.approx(2.5, rel=0.04)


def test_probabilities_become_as_sure_as_they_are_right():
    logits, labels = draw(4_000, 4.0, seed=2)
    halves = temperature.compare_halves(logits, labels)
    assert halves.before.calibration_error() > 0.2
    assert halves.after.calibration_error() < 0.03
    assert halves.after.loss < halves.before.loss
    assert halves.before.top1 == halves.after.top1


def test_what_has_no_best_temperature():
    logits = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match="all 3 images are classified right"):
        temperature.fit(logits, np.arange(3))
    with pytest.raises(ValueError, match="no better than by chance"):
        temperature.fit(-logits, np.arange(3))
    assert temperature.compare_halves(logits, np.arange(3)) is None
