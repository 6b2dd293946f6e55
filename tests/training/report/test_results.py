"""What a finished run leaves beside its model."""

import csv
from types import SimpleNamespace

import numpy as np

from training.evaluation.metrics import Predictions
from training.report import results
from training.workdir.layout import Workdir

PREDICTIONS = Predictions(
    labels=np.array([0, 1, 1]),
    top=np.array([[0, 1], [0, 1], [1, 0]]),
    confidence=np.array([0.9, 0.8, 0.6], np.float32),
    losses=np.zeros(3),
    classes=2,
)


def test_validation_csv_has_a_row_for_each_image_in_the_order_of_the_data(tmp_path):
    names = ("a/0.jpg", "b/1, two.jpg", "b/2.jpg")
    results.write_validation(Workdir(tmp_path), names, ("a", "b"), PREDICTIONS)
    with (tmp_path / "validation.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["image", "true", "predicted", "probability"],
        ["a/0.jpg", "a", "a", "0.9"],
        ["b/1, two.jpg", "b", "a", "0.8"],
        ["b/2.jpg", "b", "b", "0.6"],
    ]


def test_images_without_file_names_are_called_by_number():
    kept = SimpleNamespace(names=lambda: ("x.png", "y.png"))
    nameless = SimpleNamespace(names=lambda: ())
    for validation, wanted in ((kept, ("x.png", "y.png")), (nameless, ("0", "1"))):
        source = SimpleNamespace(validation=validation, validation_examples=2)
        assert results.image_names(source) == wanted


def test_the_worst_mistakes_are_the_surest_ones():
    assert PREDICTIONS.worst_mistakes().tolist() == [1]
