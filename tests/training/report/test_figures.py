"""Which images of a finished run are shown."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_convnext.preprocessing import Preprocessing
from training.data.pixels import Pixels
from training.data.source import Source
from training.evaluation import unknown
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


def test_the_image_that_is_like_no_training_image_comes_first(monkeypatch):
    random = np.random.default_rng(0)

    def shade(*colors):
        noise = random.integers(-20, 20, (len(colors), 8, 8, 3))
        whole = np.array([np.eye(3)[color] * 200 + 25 for color in colors])
        return (whole[:, None, None] + noise).astype(np.uint8)

    labels = np.array([0, 1] * 20, np.int32)
    training = Pixels(shade(*labels), labels)
    # Red, green, and once blue, which nobody has seen.
    colors = [0, 1, 0, 2, 1, 0]
    truth = np.minimum(colors, 1).astype(np.int32)
    validation = Pixels(shade(*colors), truth)
    seen_as = Preprocessing(size_px=8, crop_mode="squash")
    source = Source("colors", ("red", "green"), training, validation, seen_as)
    inputs = keras.Input((8, 8, 3))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(mean))
    shown = {}

    def sheet(images, labels, probabilities, classes, title, names):
        shown.update(images=images, names=names, title=title)
        return b"PNG"

    monkeypatch.setattr(figures.plots, "sheet", sheet)
    monkeypatch.setattr(unknown, "NEIGHBORS", 3)
    outcome = SimpleNamespace(source=source, model=model)
    images = source.validation.images
    features, probabilities = figures._answers(model, images)
    names = [f"{number}.png" for number in range(6)]
    seen = (images, truth, probabilities)
    assert figures._unlike(outcome, features, seen, names) == b"PNG"
    assert shown["names"][0] == "3.png"
    np.testing.assert_array_equal(shown["images"][0], images[3])
    assert shown["title"].startswith("0 of 6 below a cosine of 0.")
