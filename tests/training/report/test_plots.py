"""The images of a run say what they are to say."""

import io

import numpy as np
import pytest
from PIL import Image

from training.report import plots

ROWS = [
    {
        "epoch": float(epoch),
        "loss": 2.0 / epoch,
        "accuracy": 1 - 0.5 / epoch,
        "val_loss": 2.2 / epoch,
        "val_accuracy": 1 - 0.6 / epoch,
        "learning_rate": 0.001 * epoch,
    }
    for epoch in range(1, 6)
]


def pixels(png):
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB")).astype(int)


def has_color(array, color):
    wanted = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)])
    return bool((np.abs(array - wanted).max(axis=-1) < 3).any())


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1]], ids=["five epochs", "one epoch"])
def test_curves_show_both_lines(rows):
    array = pixels(plots.curves(rows))
    assert has_color(array, plots.TRAIN)
    assert has_color(array, plots.VALIDATION)


def test_a_sheet_marks_wrong_answers_only():
    images = np.full((3, 8, 8, 3), 200, np.uint8)
    labels = np.array([0, 1, 1])
    right = np.eye(2)[labels]
    wrong = right.copy()
    wrong[2] = [0.9, 0.1]
    classes = ("cat", "a class with a very long name")
    assert not has_color(
        pixels(plots.sheet(images, labels, right, classes)), plots.WRONG
    )
    assert has_color(pixels(plots.sheet(images, labels, wrong, classes)), plots.WRONG)


def test_a_confusion_matrix_writes_its_mistakes_in_color():
    classes = ("a", "b")
    clean = plots.confusion(np.array([[5, 0], [0, 4]]), classes)
    mixed = plots.confusion(np.array([[5, 0], [1, 3]]), classes)
    assert not has_color(pixels(clean), plots.WRONG)
    assert has_color(pixels(mixed), plots.WRONG)


def test_a_confusion_matrix_of_many_classes_stays_an_image():
    classes = [f"class number {number}" for number in range(90)]
    array = pixels(plots.confusion(np.eye(90, dtype=int), classes))
    assert max(array.shape) < 2000


@pytest.mark.parametrize(
    ("class_name", "expected"),
    [
        ("7", "03_7.png"),
        ("sun flowers/wild", "03_sun_flowers_wild.png"),
        ("../..", "03_class.png"),
        ("Löwenzahn", "03_Löwenzahn.png"),
    ],
)
def test_a_samples_file_name_is_safe(class_name, expected):
    assert plots.file_name(3, class_name) == expected


def test_a_sheet_has_the_file_names_below_the_images():
    images = np.full((2, 8, 8, 3), 200, np.uint8)
    labels, sure = np.array([0, 1]), np.eye(2)
    plain = pixels(plots.sheet(images, labels, sure, ("a", "b")))
    named = plots.sheet(images, labels, sure, ("a", "b"), None, ("x.png", "y.png"))
    assert not np.array_equal(pixels(named), plain)
    # Twenty-six letters, the first of which stands for those that are left out.
    path = "a/very/long/path/to/some/flowers.png"
    assert plots.end_of(path) == "…/path/to/some/flowers.png"


def test_letters_that_the_font_lacks_draw_no_warning(recwarn):
    images = np.full((1, 8, 8, 3), 200, np.uint8)
    plots.sheet(images, np.array([0]), np.ones((1, 1)), ("\u732b",))
    assert not recwarn.list
