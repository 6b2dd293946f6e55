"""Classes that have an order, from folders to a run, its figures and its exports."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.metrics import cohen_kappa_score, mean_absolute_error

import keras_convnext
from export import main as export_main
from tests.training.tiny_flags import tiny_flags
from training import data, evaluate_main, main, predict_main
from training.data.examples import Encoded
from training.data.ordered_classes import put_in_order
from training.evaluation import ordered_metrics
from training.evaluation.metrics import Predictions
from training.tasks import losses

GRADES = ["grade 1", "grade 2", "grade 10"]
TINY = tiny_flags("ordered")
slow = pytest.mark.slow


def sums_of_probabilities(targets, logits) -> tuple[np.ndarray, np.ndarray]:
    """Returns of each threshold the target and the probability, in float64."""
    logits = np.asarray(logits, np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return tuple(
        np.stack([rows[:, place:].sum(axis=1) for place in range(1, rows.shape[1])], 1)
        for rows in (np.asarray(targets, np.float64), shares)
    )


def test_the_losses_are_their_formulas():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20, 5)).astype(np.float32)
    targets = rng.dirichlet(np.ones(5), 20).astype(np.float32)
    wanted, found = sums_of_probabilities(targets, logits)
    expected = -(wanted * np.log(found) + (1 - wanted) * np.log(1 - found)).mean(axis=1)
    # float32 against float64.
    got = losses.LOSSES["cumulative"](tf.constant(targets), tf.constant(logits))
    np.testing.assert_allclose(got, expected, rtol=2e-6)
    got = losses.LOSSES["emd"](tf.constant(targets), tf.constant(logits))
    np.testing.assert_allclose(got, ((found - wanted) ** 2).mean(axis=1), rtol=2e-5)


def test_with_two_classes_the_cumulative_loss_is_the_cross_entropy():
    logits = tf.constant([[3.0, -1.0], [0.5, 0.25], [-60.0, 70.0]])
    targets = tf.constant([[0.0, 1.0], [0.3, 0.7], [1.0, 0.0]])
    expected = losses.softmax_loss(targets, logits)
    np.testing.assert_allclose(losses.cumulative_loss(targets, logits), expected, 1e-6)


def test_far_off_answers_cost_more_and_slopes_stay_finite():
    answers = tf.Variable(200.0 * np.eye(4, dtype=np.float32))
    targets = tf.one_hot([0, 0, 0, 0], 4)
    for loss in (losses.cumulative_loss, losses.squared_emd_loss):
        with tf.GradientTape() as tape:
            found = loss(targets, answers)
        assert np.all(np.diff(found) > 0)
        assert np.all(np.isfinite(tape.gradient(found, answers)))


@pytest.mark.parametrize("classes", [2, 5, 9])
def test_error_and_kappa_are_scikit_learns(classes):
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, 500)
    answers = np.clip(labels + rng.integers(-2, 3, 500), 0, classes - 1)
    top = np.stack([answers, (answers + 1) % classes], axis=1)
    found = ordered_metrics.figures_of(
        Predictions(labels, top, np.ones(500), np.ones(500), classes)
    )
    kappa = cohen_kappa_score(labels, answers, weights="quadratic")
    assert found["kappa"] == pytest.approx(kappa, abs=1e-9)
    assert found["mae"] == pytest.approx(mean_absolute_error(labels, answers), abs=1e-9)
    # Classes that nobody has and nobody names still have their places.
    gap = cohen_kappa_score([0, 3], [0, 2], weights="quadratic", labels=range(4))
    places = np.array([0, 3]), np.array([0, 2])
    assert ordered_metrics.quadratic_kappa(*places, 4) == pytest.approx(gap, abs=1e-9)
    same = np.zeros(5, np.int64)
    assert ordered_metrics.quadratic_kappa(same, same, 4) == 0


@pytest.fixture(scope="session")
def graded(tmp_path_factory) -> Path:
    """Returns class folders of gray images, the brighter the higher their grade."""
    folder = tmp_path_factory.mktemp("graded")
    rng = np.random.default_rng(0)
    for place, name in enumerate(GRADES):
        (folder / name).mkdir()
        for number in range(16):
            pixels = rng.integers(90 * place, 90 * place + 70, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    return folder


def test_numbers_in_names_give_the_order_or_the_recipe_does(graded):
    plain = data.load(f"folder:{graded}", size_px=16)
    assert plain.classes == ("grade 1", "grade 10", "grade 2")
    ordered = put_in_order(plain, None)
    assert list(ordered.classes) == GRADES
    assert ordered.notices[-1].endswith("grade 1 < grade 2 < grade 10")
    said = put_in_order(plain, "grade 10, grade 2,grade 1")
    for source, sign in ((ordered, 1), (said, -1)):
        for images, labels, _ in source.validation_batches(9).as_numpy_iterator():
            brightness = images.mean(axis=(1, 2, 3)) // 90
            np.testing.assert_array_equal(
                labels[::1] if sign > 0 else 2 - labels, brightness
            )
    for order, words in (
        ("grade 1,grade 2", "lacks grade 10"),
        ("grade 1,grade 2,grade 10,grade 3", "has no data for grade 3"),
        ("grade 1,grade 2,grade 2,grade 10", "repeats grade 2"),
    ):
        with pytest.raises(data.DataError, match=words):
            put_in_order(plain, order)


def test_streams_and_arrays_are_put_in_order():
    def stream(seed):
        return tf.data.Dataset.from_tensor_slices((["a", "b", "c"], [0, 1, 2]))

    images = np.zeros((3, 8, 8, 3), np.uint8)
    arrays = data.from_arrays(images, [0, 1, 2], images, [2, 2, 0], ["10", "9", "8"])
    ordered = put_in_order(arrays, None)
    assert ordered.classes == ("8", "9", "10")
    assert ordered.training.labels.tolist() == [2, 1, 0]
    assert ordered.validation.labels.tolist() == [0, 0, 2]
    streamed = replace(arrays, training=Encoded(3, stream))
    rows = put_in_order(streamed, "9,10,8").training.in_order().as_numpy_iterator()
    assert [int(label) for _, label in rows] == [1, 0, 2]


@pytest.fixture(scope="session")
def trained(graded, tmp_path_factory) -> Path:
    """A finished run, made by the command."""
    workdir = tmp_path_factory.mktemp("runs") / "ordered"
    arguments = [*TINY, f"--data=folder:{graded}", f"--workdir={workdir}"]
    assert main.main(["main", *arguments]) == 0
    return workdir


@slow
def test_a_run_and_evaluate_have_the_figures_of_the_saved_model(
    graded, trained, tmp_path, capfd
):
    assert (trained / "labels.txt").read_text().splitlines() == GRADES
    rows = (trained / "validation.csv").read_text().splitlines()[1:]
    truth = np.array([GRADES.index(Path(r.split(",")[0]).parent.name) for r in rows])
    images = np.stack([Image.open(row.split(",")[0]) for row in rows])
    model = keras.saving.load_model(trained / "model.keras", compile=False)
    answers = model.predict(images.astype(np.float32), verbose=0).argmax(axis=1)
    metrics = json.loads((trained / "metrics.json").read_text())
    figures = tmp_path / "figures.json"
    arguments = [f"--model={trained}", f"--data=folder:{graded}", f"--out={figures}"]
    assert evaluate_main.main(["evaluate", *arguments]) == 0
    assert "quadratic kappa" in capfd.readouterr().out
    kappa = cohen_kappa_score(truth, answers, weights="quadratic", labels=range(3))
    for found in (metrics, json.loads(figures.read_text())):
        expected = mean_absolute_error(truth, answers)
        assert found["mae"] == pytest.approx(expected, abs=1e-9)
        assert found["kappa"] == pytest.approx(kappa, abs=1e-9)
    page = (trained / "report.html").read_text()
    assert "Quadratic weighted kappa" in page
    assert "Errors in classes" in page
    head = (trained / "history.csv").read_text().splitlines()[0].split(",")
    assert {"val_mae", "val_kappa"} < set(head)


@slow
def test_exports_answer_as_those_of_any_classifier(graded, trained, tmp_path, capfd):
    out = tmp_path / "export"
    arguments = [f"--model={trained}/model.keras", "--format=tflite", f"--out={out}"]
    assert export_main.main(["export", *arguments]) == 0
    image = graded / "grade 10" / "00.png"
    expected = keras_convnext.load(trained)(image)
    found = keras_convnext.load(out / "model_float32.tflite")(image)
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert {name for name, _ in found} == set(GRADES)
    assert sum(share for _, share in found) == pytest.approx(1, abs=1e-5)
    capfd.readouterr()
    assert predict_main.main(["predict", f"--model={trained}", str(image)]) == 0
    assert "grade 10" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["class_order=a,b"], "with target=ordered all classes, divided by commas"),
        (["target=ordered", "loss=sigmoid"], "cumulative, emd, softmax with target=o"),
        (["target=order"], "label, ordered, labels, number"),
        (["loss=cumulative"], "softmax, sigmoid with target=label"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(
    graded, tmp_path, changes, words, capfd
):
    arguments = ["--recipe=demo", *(f"--set={change}" for change in changes)]
    arguments += [f"--data=folder:{graded}", f"--workdir={tmp_path / 'run'}"]
    assert main.main(["main", *arguments]) == 2
    assert words in capfd.readouterr().err
    assert not (tmp_path / "run").exists()
