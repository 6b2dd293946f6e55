"""The page of a run says what a person has to know beside the figures."""

import html
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from training.evaluation.metrics import Predictions
from training.recipes import table
from training.report import html as report
from training.report import next_steps
from training.report.outcome import Outcome
from training.workdir.layout import Workdir

METRICS = {
    "top1": 0.5,
    "top5": 1.0,
    "mean_class_accuracy": 0.4,
    "loss": 1.2,
    "calibration_error": 0.1,
    "parameters": 3_400_000,
    "train_seconds": 83.0,
    "train_examples": 8,
    "eval_examples": 4,
    "classes": 2,
    "epochs": 15,
    "kept_epoch": 15,
}


def page_of(classes=("cat", "dog"), skipped=(), **figures):
    """The page of a run with four validation images, the last two predicted wrong."""
    labels = np.array([0, 1, 0, 1])
    top = np.array([[0, 1], [1, 0], [1, 0], [0, 1]])
    shares = np.full(4, 0.7)
    predictions = Predictions(labels, top, shares, -np.log(shares), len(classes))
    source = SimpleNamespace(
        name="folder:photos",
        classes=classes,
        skipped=skipped,
        training=SimpleNamespace(labels=np.arange(len(classes))),
    )
    outcome = Outcome(
        recipe=table.resolve("finetune_small"),
        source=source,
        workdir=Workdir(Path("runs/my photos")),
        model=None,
        metrics={**METRICS, "classes": len(classes), **figures},
        history=[],
        details=predictions,
    )
    names = ("cat/0.jpg", "dog/1.jpg", "cat/2.jpg", "dog/3.jpg")
    return report.page(outcome, {"mistakes.png": b"x"}, names)


def words_of(page):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_it_says_where_the_best_epoch_was_picked_by_the_images_that_evaluate_it():
    assert "those of epoch 5, the best on these images" in words_of(
        page_of(kept_epoch=5)
    )
    assert "optimistic" not in words_of(page_of())


def test_the_first_five_are_told_from_six_classes_on():
    assert "Top-5 accuracy" not in page_of(classes=tuple("abcde"))
    assert "Top-5 accuracy" in page_of(classes=tuple("abcdef"))


def test_it_lists_what_could_not_be_read():
    words = words_of(page_of(skipped=(("photos/cat/<b>.jpg", "not an image"),)))
    assert "1 image could not be read. image why photos/cat/<b>.jpg not a" in words
    many = tuple((f"{number}.jpg", "cut off") for number in range(60))
    words = words_of(page_of(skipped=many))
    assert "60 images could not be read. The first 50:" in words
    assert ("49.jpg" in words, "50.jpg" in words) == (True, False)
    assert "could not be read" not in words_of(page_of())


def test_names_are_text_and_not_html():
    page = page_of(classes=("<script>alert(1)</script>", "dog & cat"))
    assert "<script" not in page
    assert "<script>alert(1)</script>" in words_of(page)


def test_of_many_classes_it_shows_some_and_says_so():
    words = words_of(page_of(classes=tuple(f"class {n}" for n in range(60))))
    assert "The 50 of 60 classes with the lowest recall." in words
    assert "lowest recall" not in words_of(page_of())


def test_it_says_how_to_ask_and_export_the_model(monkeypatch):
    monkeypatch.setattr(next_steps, "program", lambda module: f"run {module}")
    words = words_of(page_of())
    assert "run training.predict_main --model='runs/my photos' IMAGE..." in words
    assert (
        "run export.main --model='runs/my photos/model.keras' "
        "--out='runs/my photos/export'" in words
    )


def test_the_next_command_of_a_segmentation_is_one_that_predict_takes(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.recipe.write_text('{"task": "segmentation"}')
    found = dict(next_steps.steps(workdir))
    assert set(found) == {"predict", "export"}
    # Label maps are files: predict refuses a segmentation model without it.
    assert f"--out={tmp_path}/seen" in found["predict"]


def test_a_program_is_called_as_the_shell_finds_it(tmp_path, monkeypatch):
    folder = tmp_path / "env" / "bin"
    folder.mkdir(parents=True)
    program = folder / "python"
    program.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert next_steps.called(program) == "env/bin/python"
    monkeypatch.chdir(folder.parents[1] / "env")
    assert next_steps.called(tmp_path / "a b" / "python") == f"'{tmp_path}/a b/python'"
    monkeypatch.setenv("PATH", str(folder))
    assert next_steps.called(program) == "python"


@pytest.mark.parametrize("module", ["training.predict_main", "export.main"])
def test_the_commands_of_a_checkout_are_modules_that_are_there(module):
    python, flag, named = next_steps.program(module).rsplit(" ", 2)
    assert Path(python).name == Path(sys.executable).name
    assert (flag, named) == ("-m", module)
    assert (
        Path(next_steps.__file__).parents[2] / f"{module.replace('.', '/')}.py"
    ).exists()


def test_it_lists_the_files_of_its_worst_mistakes():
    words = words_of(page_of())
    assert "cat/2.jpg cat dog 70.0% dog/3.jpg dog cat 70.0%" in words
    assert "cat/0.jpg" not in words


def test_suspected_labels_beyond_the_fiftieth_are_counted():
    labels = np.zeros(53, int)
    top = np.ones((53, 1), int)
    shares, own = np.full(53, 0.9), np.full(53, 0.1)
    everything = Predictions(labels, top, shares, -np.log(own), 2, np.arange(53))
    shown = words_of(report._suspected(everything, ("cat", "dog"), ("x.jpg",) * 53))
    assert shown.count("x.jpg cat dog 0.1000") == 50
    assert shown.endswith("3 more: label_errors.csv.")
