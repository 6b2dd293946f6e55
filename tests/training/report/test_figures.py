"""Which images of a finished run are shown."""

import numpy as np
import pytest

from training.report import figures


@pytest.mark.parametrize(("total", "count"), [(175, 8), (40, 40), (3, 8), (1, 8)])
def test_places_are_spread_from_first_to_last(total, count):
    places = figures._spread(total, count)
    assert len(places) == min(total, count)
    assert (places[0], places[-1]) == (0, total - 1)
    assert len(set(places.tolist())) == len(places)


def test_of_nothing_there_are_no_places():
    assert figures._spread(0, 8).tolist() == []


def test_classes_that_lie_one_after_another_are_all_among_the_samples():
    labels = np.repeat(np.arange(5), 35)
    assert set(labels[figures._spread(len(labels), 8)].tolist()) == {0, 1, 2, 3, 4}
