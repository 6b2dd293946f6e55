"""Several labels an image, from a list to predictions, files and figures."""

import csv
import json

import keras
import numpy as np
import pytest
from PIL import Image, ImageDraw
from sklearn.metrics import average_precision_score, f1_score

import keras_convnext
from export import main as export_main
from tests.training.tiny_flags import tiny_flags
from training import evaluate_main, explain_main, main, predict_main, preview_main

TINY = tiny_flags("labels")
slow = pytest.mark.slow
COLORS = {"blue": (20, 30, 250), "green": (20, 230, 40), "red": (240, 30, 20)}
COUNT = 48


@pytest.fixture(scope="session")
def listed(tmp_path_factory):
    """Images with bars of one, two, three or no colors, and their list."""
    folder = tmp_path_factory.mktemp("bars")
    rng = np.random.default_rng(0)
    rows = ["path,label,split"]
    for number in range(COUNT):
        image = Image.fromarray(rng.integers(90, 120, (16, 16, 3)).astype(np.uint8))
        chosen = [name for place, name in enumerate(COLORS) if number >> place & 1]
        for place, name in enumerate(chosen):
            draw = ImageDraw.Draw(image)
            draw.rectangle((0, 5 * place, 15, 5 * place + 3), COLORS[name])
        image.save(folder / f"{number:02}.png")
        split = "train" if number < 32 else "val"
        rows.append(f"{number:02}.png,{';'.join(chosen)},{split}")
    (folder / "list.csv").write_text("\n".join(rows))
    return folder / "list.csv"


@pytest.fixture(scope="session")
def trained(listed, tmp_path_factory):
    """A finished run, made by the command."""
    workdir = tmp_path_factory.mktemp("runs") / "labels"
    arguments = ["main", *TINY, f"--data=files:{listed}", f"--workdir={workdir}"]
    assert main.main(arguments) == 0
    return workdir


@pytest.fixture(scope="session")
def validation(listed, trained):
    """Names, truth and probabilities of the validation images, asked of Keras."""
    with listed.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    classes = (trained / "labels.txt").read_text().split()
    truth = np.array([[name in row["label"] for name in classes] for row in rows])
    images = np.stack([Image.open(listed.parent / row["path"]) for row in rows])
    model = keras.saving.load_model(trained / "model.keras", compile=False)
    return rows, truth, model.predict(images.astype(np.float32), verbose=0)


@slow
def test_the_figures_are_scikit_learns_of_the_saved_model(trained, validation):
    _, truth, scores = validation
    metrics = json.loads((trained / "metrics.json").read_text())
    expected = {
        "map": average_precision_score(truth, scores, average="macro"),
        "map_micro": average_precision_score(truth, scores, average="micro"),
        "f1_macro": f1_score(truth, scores > 0.5, average="macro", zero_division=0),
        "f1_micro": f1_score(truth, scores > 0.5, average="micro", zero_division=0),
    }
    # Scores differ by float32's rounding, which no rank here hangs on.
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert metrics["best_map"] == pytest.approx(expected["map"])
    losses = keras.losses.binary_crossentropy(truth.astype(np.float32), scores)
    assert metrics["loss"] == pytest.approx(float(np.mean(losses)), rel=1e-4)


@slow
def test_thresholds_are_kept_beside_the_model_and_found_there(trained, validation):
    _, truth, scores = validation
    thresholds = json.loads((trained / "thresholds.json").read_text())
    model = keras_convnext.load(trained)
    assert not model.is_exclusive
    assert dict(zip(model.labels, model.thresholds, strict=True)) == thresholds
    metrics = json.loads((trained / "metrics.json").read_text())
    decided = scores > np.array(model.thresholds)
    fitted = f1_score(truth, decided, average="macro", zero_division=0)
    assert metrics["f1_macro_fitted"] == pytest.approx(fitted)
    assert fitted >= metrics["f1_macro"]
    wanted = [tuple(np.array(model.labels)[row]) for row in np.asarray(decided, bool)]
    assert [model.apply_thresholds(row) for row in scores] == wanted


@slow
def test_a_run_leaves_tables_and_a_page(trained, validation):
    rows, truth, scores = validation
    with (trained / "validation.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["true"] for row in found] == [row["label"] for row in rows]
    given = [[float(row[name]) for name in sorted(COLORS)] for row in found]
    # Six digits are written.
    np.testing.assert_allclose(given, scores, atol=1e-5)
    with (trained / "classes.csv").open(newline="") as file:
        counts = [int(row["validation images"]) for row in csv.DictReader(file)]
    assert counts == truth.sum(axis=0).tolist()
    page = (trained / "report.html").read_text()
    assert "Confusion" not in page
    assert "Precision and recall" in page
    samples = list((trained / "pictures" / "samples").glob("*.png"))
    assert len(samples) == 8


@slow
def test_evaluate_gives_the_figures_of_training(trained, listed, tmp_path, capfd):
    out = tmp_path / "figures.json"
    arguments = [f"--model={trained}", f"--data=files:{listed}", f"--out={out}"]
    assert evaluate_main.main(["evaluate", *arguments]) == 0
    assert "mAP" in capfd.readouterr().out
    figures = json.loads(out.read_text())
    metrics = json.loads((trained / "metrics.json").read_text())
    for name in ("map", "map_micro", "f1_macro", "f1_micro_fitted", "loss"):
        assert figures[name] == pytest.approx(metrics[name], rel=1e-4), name
    # The data of the run are found by its recipe.json.
    assert evaluate_main.main(["evaluate", f"--model={trained}", "--split=all"]) == 0
    assert f"{COUNT} images" in capfd.readouterr().out


@slow
def test_predict_tells_which_labels_apply(trained, listed, validation, capfd):
    rows, _, scores = validation
    image = str(listed.parent / rows[0]["path"])
    model = keras_convnext.load(trained)
    wanted = list(model.apply_thresholds(scores[0]))
    command = ["predict", f"--model={trained}", image]
    assert predict_main.main([*command, "--format=json"]) == 0
    (answer,) = json.loads(capfd.readouterr().out)
    assert answer["labels"] == wanted
    best = {each["class"]: each["probability"] for each in answer["answers"]}
    # Once through the graph of one image, once of sixteen.
    expected = dict(zip(model.labels, scores[0], strict=True))
    assert best == pytest.approx(expected, abs=1e-5)
    assert predict_main.main([*command, "--format=csv"]) == 0
    (row,) = csv.DictReader(capfd.readouterr().out.splitlines())
    assert row["labels"] == ";".join(wanted)
    assert predict_main.main(command) == 0
    assert capfd.readouterr().out.count("✓") == len(wanted)


@slow
def test_explain_and_preview_name_labels(trained, listed, tmp_path, capfd):
    image = str(listed.parent / "33.png")
    arguments = [f"--model={trained}", f"--out={tmp_path / 'seen'}", "--class=red"]
    assert explain_main.main(["explain", *arguments, image]) == 0
    sheet = tmp_path / "sheet.png"
    arguments = [*TINY, f"--data=files:{listed}", f"--out={sheet}", "--draws=2"]
    assert preview_main.main(["preview", *arguments, "--mix"]) == 0
    assert sheet.stat().st_size > 1000
    capfd.readouterr()


@slow
def test_exported_files_answer_with_the_same_names_and_thresholds(
    trained, listed, validation, tmp_path
):
    rows, _, scores = validation
    arguments = [
        f"--model={trained / 'model.keras'}",
        f"--images=files:{listed}",
        "--format=saved_model,tflite",
        f"--out={tmp_path}",
    ]
    assert export_main.main(["export", *arguments]) == 0
    images = np.stack([Image.open(listed.parent / row["path"]) for row in rows])
    for file in (tmp_path, tmp_path / "model_float32.tflite"):
        model = keras_convnext.load(file)
        assert model.thresholds == keras_convnext.load(trained).thresholds
        found = model.probabilities(images.astype(np.float32))
        # The limit of the export's own proof of float32.
        np.testing.assert_allclose(found, scores, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["target=labels", "loss=softmax"], "loss is 'softmax', not one of"),
        (["target=label", "loss=focal"], "loss is 'focal', not one of"),
        (
            ["target=tags"],
            "target is 'tags', not one of label, ordered, labels",
        ),
    ],
)
def test_a_loss_must_fit_its_target(changes, said, capfd):
    arguments = [f"--set={change}" for change in changes]
    command = ["main", "--recipe=demo", "--data=files:x.csv", "--workdir=none"]
    assert main.main([*command, *arguments]) == 2
    assert said in capfd.readouterr().err
