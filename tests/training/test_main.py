"""The commands from end to end, and every mistake as one line."""

import base64
import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_convnext
from keras_convnext.preprocessing import Preprocessing
from training import evaluate_main, main, predict_main, preview_main

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "--set=variant=test_convnext2",
    "--set=size_px=16",
    "--set=global_batch=8",
    "--set=epochs=2",
    "--set=warmup_epochs=0",
    "--set=ema_decay=none",
    "--devices=cpu",
]


@pytest.fixture(scope="session")
def bars_file(tmp_path_factory):
    """The images of conftest.py as a file that `--data` can name."""
    from_here = np.random.default_rng(5)
    arrays = {}
    for part, count in (("train", 24), ("test", 9)):
        labels = np.arange(count) % 3
        images = from_here.integers(0, 120, (count, 16, 16, 3))
        for image, label in zip(images, labels, strict=True):
            image[:, 2 + 5 * label : 4 + 5 * label] += 130
        arrays[f"{part}_images"] = images.astype(np.uint8)
        arrays[f"{part}_labels"] = labels
    path = tmp_path_factory.mktemp("bars") / "bars.npz"
    np.savez(path, classes=np.array(["left", "middle", "right"]), **arrays)
    return path


def train_arguments(bars_file, workdir):
    return [
        "main",
        "--recipe=scratch_small",
        f"--data=array:{bars_file}",
        f"--workdir={workdir}",
        *TINY,
    ]


@pytest.fixture(scope="session")
def trained(bars_file, tmp_path_factory):
    """A finished run of two epochs, made by the command."""
    workdir = tmp_path_factory.mktemp("runs") / "tiny"
    assert main.main(train_arguments(bars_file, workdir)) == 0
    return workdir


def test_a_run_leaves_what_is_promised_and_nothing_half_written(trained):
    left = {str(path.relative_to(trained)) for path in trained.rglob("*")}
    promised = {
        "recipe.json",
        "labels.txt",
        "preprocessing.json",
        "history.csv",
        "validation.csv",
        "label_errors.csv",
        "model.keras",
        "metrics.json",
        "report.html",
        "checkpoints",
        "pictures",
        "pictures/curves.png",
        "pictures/confusion.png",
        "pictures/predictions.png",
        "pictures/calibration.png",
        "pictures/embedding.png",
        "pictures/unlike.png",
        "pictures/explained.png",
        "pictures/samples",
    }
    assert promised <= left
    # Where there are mistakes, there is an image of the worst.
    others = left - promised - {"pictures/mistakes.png", "pictures/label_errors.png"}
    assert len([name for name in others if name.startswith("checkpoints/")]) == 2
    samples = [name for name in others if name.startswith("pictures/samples/")]
    assert len(samples) == 8
    assert len(others) == 10


def test_what_is_left_agrees_with_itself(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert (trained / "labels.txt").read_text() == "left\nmiddle\nright\n"
    assert (metrics["train_examples"], metrics["eval_examples"]) == (24, 9)
    assert (metrics["epochs"], metrics["steps"], metrics["classes"]) == (2, 6, 3)
    with open(trained / "validation.csv", newline="") as file:
        answers = list(csv.DictReader(file))
    assert len(answers) == metrics["eval_examples"]
    right = np.mean([row["true"] == row["predicted"] for row in answers])
    assert right == pytest.approx(metrics["top1"])
    with open(trained / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    # float32 without averaging: the saved model is the one that was evaluated last.
    assert metrics["top1"] == pytest.approx(float(rows[-1]["val_accuracy"]))
    # Softmax and its logarithm are rounded once more in the saved model.
    assert metrics["loss"] == pytest.approx(float(rows[-1]["val_loss"]), rel=1e-5)
    fields = json.loads((trained / "preprocessing.json").read_text())
    assert Preprocessing(**fields).size_px == 16


def test_the_report_holds_its_images(trained):
    page = (trained / "report.html").read_text()
    inside = [
        base64.b64decode(data)
        for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    ]
    on_disk = [path.read_bytes() for path in (trained / "pictures").glob("*.png")]
    assert sorted(inside) == sorted(on_disk)
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "middle" in page


def test_a_finished_run_says_so(trained, bars_file, capfd):
    before = (trained / "model.keras").stat().st_mtime_ns
    assert main.main(train_arguments(bars_file, trained)) == 0
    assert "is finished: validation accuracy" in capfd.readouterr().out
    assert (trained / "model.keras").stat().st_mtime_ns == before


def test_a_folder_of_another_run_is_refused(trained, bars_file, capfd):
    arguments = [*train_arguments(bars_file, trained), "--set=peak_lr=0.5"]
    assert main.main(arguments) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert "holds another run (peak_lr=0.002 there and 0.5 here)" in line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipe": "dmeo"}, "no recipe called 'dmeo'; the closest are demo"),
        ({"recipe": ""}, "--recipe must be given"),
        ({"data": "folder:/nowhere/at/all"}, "/nowhere/at/all"),
        ({"data": "array:/nowhere.npz"}, "/nowhere.npz"),
        ({"set": "epoch=2"}, "no field 'epoch' (did you mean epochs?); the fields are"),
        ({"set": "epochs=two"}, "epochs takes a whole number, not 'two'"),
        ({"set": "epochs"}, "'epochs' is not of the form field=value"),
        ({"devices": "gpu:97"}, "asks for GPU 97, but TensorFlow sees"),
        ({"devices": "both"}, "--devices takes all, cpu, cpu:2"),
        ({"workdir": "/dev/null/run"}, "/dev/null is a file"),
        ({"workdir": "/proc/run"}, "--workdir=/proc/run cannot be written"),
        ({"profile_steps": "20,10"}, "--profile_steps takes the first and the last"),
        ({"epochs": "3"}, "there is no flag --epochs; give --set epochs=3"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2_before_any_work(
    bars_file, tmp_path, capfd, changes, words
):
    flags = {
        "recipe": "demo",
        "data": f"array:{bars_file}",
        "workdir": str(tmp_path / "run"),
        **changes,
    }
    arguments = [f"--{name}={value}" for name, value in flags.items()]
    assert main.main(["main", *arguments]) == 2
    stdout, stderr = capfd.readouterr()
    [line] = stderr.splitlines()
    assert line.startswith("train: error: ")
    assert words in line
    assert stdout == ""
    assert os.listdir(tmp_path) == []


def test_a_forgotten_flag_sign_is_a_mistake(capfd):
    assert main.main(["main", "recipe=demo"]) == 2
    assert "unrecognized argument 'recipe=demo'" in capfd.readouterr().err


@pytest.mark.parametrize("command", [main, evaluate_main, predict_main, preview_main])
def test_help_fits_on_a_screen_and_names_every_flag(command, capfd):
    assert command.main(["command", "--help"]) == 0
    stdout = capfd.readouterr().out
    assert len(stdout.splitlines()) <= 24
    assert max(map(len, stdout.splitlines())) <= 80
    for name in command.options():
        assert f"--{name} " in stdout


def test_the_command_runs_as_a_module(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "training.main", "--recipe=demo", "--data=digits"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "train: error: --workdir must be given; --help shows how\n"


def test_evaluate_gives_the_figures_that_training_gave(
    trained, bars_file, tmp_path, capfd
):
    arguments = ["evaluate", f"--model={trained}", f"--data=array:{bars_file}"]
    assert evaluate_main.main([*arguments, f"--out={tmp_path / 'e.json'}"]) == 0
    figures = json.loads((tmp_path / "e.json").read_text())
    metrics = json.loads((trained / "metrics.json").read_text())
    assert figures["top1"] == metrics["top1"]
    assert figures["examples"] == 9
    # Batches of another size may be summed in another order.
    assert figures["loss"] == pytest.approx(metrics["loss"], rel=1e-5)
    assert np.sum(figures["confusion"]) == 9
    assert [row["examples"] for row in figures["classes"]] == [3, 3, 3]
    right = sum(row["right"] for row in figures["classes"])
    assert right / 9 == pytest.approx(figures["top1"])
    stdout = capfd.readouterr().out
    assert f"top-1 accuracy       {metrics['top1']:.2%}" in stdout
    assert re.search(r"^  middle +", stdout, re.MULTILINE)


def test_evaluate_refuses_data_with_classes_that_the_model_lacks(
    trained, bars_file, tmp_path, capfd
):
    arrays = dict(np.load(bars_file))
    arrays["classes"] = np.array(["left", "middle", "top"])
    np.savez(tmp_path / "other.npz", **arrays)
    data = f"--data=array:{tmp_path / 'other.npz'}"
    assert evaluate_main.main(["evaluate", f"--model={trained}", data]) == 2
    assert "classes top are not among the model's 3" in capfd.readouterr().err


@pytest.mark.slow
def test_a_published_checkpoint_is_judged_by_its_name(monkeypatch, tmp_path, capfd):
    """Random weights take the place of the download."""
    create = keras_convnext.create

    def untrained(name):
        assert name == "convnext_atto.d2_in1k"
        return create("convnext_atto", seed=0)

    monkeypatch.setattr("keras_convnext.inference.loaded_model.create", untrained)
    arrays = {
        "train_images": np.zeros((2, 8, 8, 3), np.uint8),
        "train_labels": np.arange(2),
        "test_images": np.zeros((2, 8, 8, 3), np.uint8),
        "test_labels": np.arange(2),
        # WordNet ids, as ImageNet's builders have them; 404 and 0 of the thousand.
        "classes": np.array(["n02690373", "n01440764"]),
    }
    np.savez(tmp_path / "two.npz", **arrays)
    model, data = "--model=convnext_atto.d2_in1k", f"--data=array:{tmp_path}/two.npz"
    assert evaluate_main.main(["e", model, data, f"--out={tmp_path}/e.json"]) == 0
    figures = json.loads((tmp_path / "e.json").read_text())
    examples = {row["class"]: row["examples"] for row in figures["classes"]}
    assert {name for name, count in examples.items() if count} == {"tench", "airliner"}
    assert len(figures["labels"]) == 1000


def test_a_checkpoint_without_a_classifier_is_refused(capfd):
    arguments = ["predict", "--model=convnextv2_atto.fcmae", "a.png"]
    assert predict_main.main(arguments) == 2
    assert "has no classifier" in capfd.readouterr().err


def export_saved_model(model, folder, labels):
    """A SavedModel as the export command writes it, by TensorFlow's own means."""
    module = tf.Module()
    module.model = model
    signature = tf.TensorSpec((None, 16, 16, 3), tf.float32, name="tensors")

    @tf.function(input_signature=[signature])
    def tensors(tensors):
        return {"probabilities": model(tensors)}

    version = folder / "saved_model" / "1"
    tf.saved_model.save(module, str(version), signatures={"tensors": tensors})
    (folder / "labels.txt").write_text(labels)


def export_tflite(model, folder, labels):
    """A TFLite file with its labels inside, by TensorFlow's own means."""
    import zipfile

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    path = folder / "model_float32.tflite"
    path.write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", labels)


@pytest.fixture(scope="session")
def exported(trained, tmp_path_factory):
    """The trained model in the other two kinds of file."""
    folder = tmp_path_factory.mktemp("export")
    model = keras.saving.load_model(trained / "model.keras")
    labels = (trained / "labels.txt").read_text()
    export_saved_model(model, folder, labels)
    export_tflite(model, folder, labels)
    fields = json.loads((trained / "preprocessing.json").read_text())
    (folder / "export.json").write_text(json.dumps({"preprocessing": fields}))
    return folder


def answers(stdout):
    """What predict printed, as (class, share) in order."""
    found = re.findall(r"^  (\w+) +([\d.]+)%", stdout, re.MULTILINE)
    return [(name, float(share)) for name, share in found]


@pytest.mark.parametrize("kind", ["keras", "saved_model", "tflite"])
def test_predict_prints_names_and_probabilities_for_each_kind_of_model(
    trained, exported, capfd, kind
):
    path = {
        "keras": trained / "model.keras",
        "saved_model": exported / "saved_model",
        "tflite": exported / "model_float32.tflite",
    }[kind]
    samples = sorted((trained / "pictures" / "samples").glob("*.png"))[:2]
    assert predict_main.main(["predict", f"--model={path}", *map(str, samples)]) == 0

    model = keras.saving.load_model(trained / "model.keras")
    images = np.stack([np.asarray(Image.open(sample)) for sample in samples])
    probabilities = model(images.astype(np.float32)).numpy()
    names = np.array(["left", "middle", "right"])
    expected = [
        (names[number], 100 * row[number])
        for row in probabilities
        for number in np.argsort(-row)
    ]
    told = answers(capfd.readouterr().out)
    assert [name for name, _ in told] == [name for name, _ in expected]
    # Printed with two decimals.
    np.testing.assert_allclose(
        [share for _, share in told], [share for _, share in expected], atol=0.006
    )


def test_predict_names_each_bad_file_and_answers_the_others(trained, tmp_path, capfd):
    good = sorted((trained / "pictures" / "samples").glob("*.png"))[0]
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    arguments = [f"--model={trained}", str(tmp_path / "none.png"), str(text), str(good)]
    assert predict_main.main(["predict", *arguments]) == 0
    stdout, stderr = capfd.readouterr()
    first, second = stderr.splitlines()
    assert f"{tmp_path / 'none.png'} cannot be read: No such file" in first
    assert f"{text}: not an image, or of a kind that cannot be read" in second
    assert len(answers(stdout)) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.png"], "--model must be given"),
        (["--model=/nowhere.keras", "a.png"], "there is nothing at"),
        ([f"--model={ROOT}", "a.png"], "is none of them"),
        ([f"--model={ROOT}"], "no image was named"),
        (["--model=x.keras", "--top=0", "a.png"], "flag --top=0"),
    ],
)
def test_predicts_mistakes_are_one_line(capfd, arguments, words):
    assert predict_main.main(["predict", *arguments]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert words in line


def test_a_broken_model_file_is_a_mistake(tmp_path, capfd):
    (tmp_path / "m.keras").write_text("no model")
    (tmp_path / "m.tflite").write_text("no model")
    for name in ("m.keras", "m.tflite"):
        assert predict_main.main(["p", f"--model={tmp_path / name}", "a.png"]) == 2
        [line] = capfd.readouterr().err.splitlines()
        assert "cannot be read as a model" in line
