"""A number an image, from a list to predictions, files and figures."""

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

import keras_convnext
from export import main as export_main
from keras_convnext.inference.outputs import find_output_meaning
from tests.training.tiny_flags import tiny_flags
from training import evaluate_main, explain_main, main, predict_main, preview_main
from training.tasks import regression

TINY = tiny_flags("number")
COUNT = 48
slow = pytest.mark.slow


@pytest.fixture(scope="session")
def listed(tmp_path_factory):
    """Gray images with noise, and 1,000 and ten times their brightness as numbers."""
    folder = tmp_path_factory.mktemp("grays")
    rng = np.random.default_rng(0)
    rows = ["path,label,split"]
    for number in range(COUNT):
        gray = int(rng.integers(20, 230))
        pixels = rng.integers(gray - 15, gray + 15, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
        split = "train" if number < 32 else "val"
        rows.append(f"{number:02}.png,{1000 + 10 * gray},{split}")
    (folder / "list.csv").write_text("\n".join(rows))
    return folder / "list.csv"


@pytest.fixture(scope="session")
def trained(listed, tmp_path_factory):
    """A finished run, made by the command."""
    workdir = tmp_path_factory.mktemp("runs") / "numbers"
    arguments = ["main", *TINY, f"--data=files:{listed}", f"--workdir={workdir}"]
    assert main.main(arguments) == 0
    return workdir


@pytest.fixture(scope="session")
def validation(listed, trained):
    """Rows, pixels and Keras' numbers of the validation images."""
    with listed.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    images = np.stack([Image.open(listed.parent / row["path"]) for row in rows])
    model = keras.saving.load_model(trained / "model.keras", compile=False)
    found = model.predict(images.astype(np.float32), verbose=0)
    assert found.shape == (len(rows), 1)
    return rows, images, found[:, 0].astype(np.float64)


@slow
def test_the_figures_are_scikit_learns_of_the_saved_model(trained, validation):
    rows, _, numbers = validation
    truth = [float(row["label"]) for row in rows]
    metrics = json.loads((trained / "metrics.json").read_text())
    expected = {
        "mae": mean_absolute_error(truth, numbers),
        "rmse": root_mean_squared_error(truth, numbers),
        "r2": r2_score(truth, numbers),
    }
    # float32 at 3,000 has steps of 2.4e-4, and batches of two sizes round apart.
    found = {name: metrics[name] for name in expected}
    assert found == pytest.approx(expected, rel=1e-4, abs=2e-3)
    with (trained / "history.csv").open(newline="") as file:
        errors = [float(row["val_mae"]) for row in csv.DictReader(file)]
    # The epoch with the smallest error is kept, by way of standardized answers.
    assert metrics["mae"] == pytest.approx(min(errors), rel=1e-3)
    assert metrics["kept_epoch"] == 1 + int(np.argmin(errors))


@slow
def test_mean_and_scale_are_in_the_model(trained, listed):
    with listed.open(newline="") as file:
        numbers = [
            float(row["label"])
            for row in csv.DictReader(file)
            if row["split"] == "train"
        ]
    model = keras.saving.load_model(trained / "model.keras", compile=False)
    layer = model.get_layer("head_number")
    assert layer.offset == pytest.approx(np.mean(numbers))
    assert layer.scale == pytest.approx(np.std(numbers))


@slow
def test_a_run_leaves_a_table_and_a_page_with_a_scatter_plot(trained, validation):
    rows, _, numbers = validation
    with (trained / "validation.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [float(row["true"]) for row in found] == [float(r["label"]) for r in rows]
    given = [float(row["predicted"]) for row in found]
    # Six digits are written.
    np.testing.assert_allclose(given, numbers, rtol=1e-5)
    page = (trained / "report.html").read_text()
    assert "Predicted over true number" in page
    assert not (trained / "labels.txt").exists()
    assert (trained / "pictures" / "scatter.png").stat().st_size > 1000


@slow
def test_evaluate_gives_the_figures_of_training(trained, listed, tmp_path, capfd):
    out = tmp_path / "figures.json"
    arguments = [f"--model={trained}", f"--data=files:{listed}", f"--out={out}"]
    assert evaluate_main.main(["evaluate", *arguments]) == 0
    assert "mean absolute error" in capfd.readouterr().out
    figures = json.loads(out.read_text())
    metrics = json.loads((trained / "metrics.json").read_text())
    for name in ("mae", "rmse", "r2"):
        assert figures[name] == pytest.approx(metrics[name], rel=1e-4), name


@slow
def test_predict_explain_and_load_say_the_number(
    trained, listed, validation, tmp_path, capfd
):
    rows, images, numbers = validation
    file = str(listed.parent / rows[0]["path"])
    command = ["predict", f"--model={trained}", file]
    assert predict_main.main([*command, "--format=json"]) == 0
    (answer,) = json.loads(capfd.readouterr().out)
    # A step of float32 at some thousands.
    assert answer["number"] == pytest.approx(numbers[0], abs=5e-3)
    assert predict_main.main([*command, "--format=csv"]) == 0
    (row,) = csv.DictReader(capfd.readouterr().out.splitlines())
    assert float(row["number"]) == pytest.approx(numbers[0], rel=1e-5)
    assert predict_main.main(command) == 0
    assert capfd.readouterr().out.strip() == f"{file}  {answer['number']:.6g}"
    model = keras_convnext.load(trained)
    assert model(file) == pytest.approx(numbers[0], abs=5e-3)
    assert model(images) == pytest.approx(numbers.tolist(), abs=5e-3)
    seen = tmp_path / "seen"
    arguments = ["explain", f"--model={trained}", f"--out={seen}"]
    assert explain_main.main([*arguments, file]) == 0
    assert len(list(seen.glob("*.png"))) == 1
    assert explain_main.main([*arguments, "--class=a", file]) == 2
    assert "has no classes" in capfd.readouterr().err


@slow
def test_preview_writes_numbers_beside_images(listed, tmp_path):
    sheet = tmp_path / "sheet.png"
    arguments = [*TINY, f"--data=files:{listed}", f"--out={sheet}", "--draws=2"]
    assert preview_main.main(["preview", *arguments, "--mix"]) == 0
    assert sheet.stat().st_size > 1000


@slow
def test_exported_files_give_the_numbers_in_their_unit(
    trained, listed, validation, tmp_path
):
    rows, images, numbers = validation
    arguments = [
        f"--model={trained / 'model.keras'}",
        f"--images=files:{listed}",
        "--format=saved_model,tflite",
        "--precision=float32,dynamic_int8",
        f"--out={tmp_path}",
    ]
    assert export_main.main(["export", *arguments]) == 0
    spread = np.ptp(numbers)
    # The export's own limits, shares of the range: of float32 rounding alone.
    for name, limit in (("", 1e-4), ("model_float32.tflite", 1e-4)):
        model = keras_convnext.load(tmp_path / name)
        assert model(images) == pytest.approx(numbers.tolist(), abs=limit * spread)
    rounded = keras_convnext.load(tmp_path / "model_dynamic_int8.tflite")(images)
    assert r2_score(numbers, rounded) > 0.9
    folder = next((tmp_path / "saved_model").iterdir())
    signatures = tf.saved_model.load(folder).signatures
    files = [(listed.parent / row["path"]).read_bytes() for row in rows[:2]]
    told = signatures["bytes"](image_bytes=tf.constant([files[0], b"none", files[1]]))
    expected = [numbers[0], 0.0, numbers[1]]
    np.testing.assert_allclose(told["number"], expected, atol=1e-4 * spread)
    assert [bool(text) for text in told["status"].numpy()] == [False, True, False]
    found = signatures["images"](images=tf.constant(images))["number"]
    np.testing.assert_allclose(found, numbers, atol=1e-4 * spread)
    record = json.loads((tmp_path / "export.json").read_text())
    assert record["output"]["kind"] == "number"
    assert not (tmp_path / "labels.txt").exists()


LOSSES = {"huber": keras.losses.huber, "mse": keras.losses.mean_squared_error}


@pytest.mark.parametrize("name", LOSSES)
def test_the_losses_are_keras_own(name):
    targets = tf.constant([0.0, 0.2, -3.0, 5.0])
    outputs = tf.constant([0.5, 0.2, 1.0, 4.0])
    expected = LOSSES[name](targets[:, None], outputs[:, None])
    np.testing.assert_allclose(regression.LOSSES[name](targets, outputs), expected)


def test_a_number_is_told_by_its_layer_or_by_the_person():
    model = keras_convnext.create(
        "test_convnext2", input_shape=(32, 32, 3), classes=1, classifier_activation=None
    )
    with pytest.raises(ValueError, match="number or features"):
        find_output_meaning(model)
    assert find_output_meaning(model, told="number").kind == "number"
    rescaled = keras.layers.Rescaling(2.0, 3.0, name="head_number")(model.output)
    found = find_output_meaning(keras.Model(model.input, rescaled))
    assert found.kind == "number"
    assert found.activation is None
    two = keras_convnext.create("test_convnext2", input_shape=(32, 32, 3), classes=2)
    with pytest.raises(ValueError, match="contradicts"):
        find_output_meaning(two, told="number")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["loss=softmax"], "loss is 'softmax', not one of"),
        (["label_smoothing=0.1"], "in [0, 1), and 0 with target=number"),
    ],
)
def test_a_recipe_of_numbers_has_nothing_of_classes(changes, said, capfd):
    arguments = [f"--set={change}" for change in ("target=number", *changes)]
    command = ["main", "--recipe=demo", "--data=files:x.csv", "--workdir=none"]
    assert main.main([*command, *arguments]) == 2
    assert said in capfd.readouterr().err
