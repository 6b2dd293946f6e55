"""Figures of images with a number each, beside scikit-learn's own."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from training.evaluation.number_metrics import (
    NumberPredictions,
    gathered,
    standard_of,
)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_the_figures_are_scikit_learns(seed, offset):
    rng = np.random.default_rng(seed)
    truth = offset + rng.normal(3, 20, 300)
    numbers = truth + rng.normal(1, 5, 300)
    expected = {
        "mae": mean_absolute_error(truth, numbers),
        "rmse": root_mean_squared_error(truth, numbers),
        "r2": r2_score(truth, numbers),
    }
    # Sums of 300 float64; both sides round.
    assert NumberPredictions(truth, numbers).figures() == pytest.approx(
        expected, abs=1e-9
    )


@pytest.mark.parametrize("answer", [7.0, 8.0])
def test_r2_of_equal_numbers_is_as_scikit_learn_has_it(answer):
    truth, numbers = np.full(4, 7.0), np.full(4, answer)
    figures = NumberPredictions(truth, numbers).figures()
    assert figures["r2"] == r2_score(truth, numbers)


def test_standardized_answers_are_put_back_into_their_unit():
    standard = standard_of(np.array([10.0, 20.0, 30.0]))
    assert standard.mean == 20.0
    assert standard.scale == pytest.approx(np.sqrt(200 / 3))
    rows = [
        {"labels": np.array([20.0, 30.0]), "standardized": np.array([0.0, 1.0])},
        {"labels": np.array([5.0]), "standardized": np.array([-1.0])},
    ]
    found = gathered(rows, standard)
    expected = [20.0, 20.0 + standard.scale, 20.0 - standard.scale]
    np.testing.assert_allclose(found.numbers, expected)
    told = [{"labels": np.array([1.0]), "numbers": np.array([2.0])}]
    assert gathered(told, standard).errors.tolist() == [1.0]


def test_the_worst_come_first():
    found = NumberPredictions(np.zeros(4), np.array([1.0, -3.0, 0.5, 2.0]))
    assert found.worst(3).tolist() == [1, 3, 0]
