"""Every image is answered by the run that was not trained on it."""

import csv
import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score, mean_absolute_error

from tests.checks import write_arrays
from training import cross_validate_main, evaluate_main
from training.evaluation import label_errors

FOLDS = 3
ROOT = Path(__file__).resolve().parents[3]


def cross_validate(data, folder, *flags):
    common = ["--recipe=scratch_small", f"--data={data}", f"--workdir={folder}"]
    small = ["--set=variant=test_convnext2", "--set=size_px=16", "--set=patch_size=2"]
    small += ["--set=epochs=1", "--set=global_batch=8", "--devices=cpu"]
    return cross_validate_main.main(["cross_validate", *common, *small, *flags])


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 6 starts, each as long as the machine is busy
def test_the_probabilities_are_out_of_sample(tmp_path, capsys):
    file, folder = write_arrays(tmp_path / "data.npz"), tmp_path / "folds"
    assert cross_validate(f"array:{file}", folder, f"--folds={FOLDS}") == 0
    with np.load(folder / "out_of_sample.npz") as found, np.load(file) as arrays:
        joined = dict(found)
        images, labels = (
            np.concatenate([arrays[f"{part}_{what}"] for part in ("train", "test")])
            for what in ("images", "labels")
        )
    np.testing.assert_array_equal(joined["labels"], labels)
    figures = []
    for fold in range(1, FOLDS + 1):
        run = folder / f"folds={FOLDS},fold={fold}"
        model = keras.models.load_model(run / "model.keras")
        mine = joined["fold"] == fold
        expected = model.predict(images[mine].astype(np.float32), verbose=0)
        np.testing.assert_allclose(joined["probabilities"][mine], expected, atol=1e-5)
        metrics = json.loads((run / "metrics.json").read_text())
        assert metrics["eval_examples"] == mine.sum()
        assert metrics["train_examples"] == (~mine).sum()
        right = expected.argmax(axis=1) == labels[mine]
        assert metrics["top1"] == pytest.approx(right.mean())
        figures.append(metrics["top1"])
        out = tmp_path / "figures.json"
        assert evaluate_main.main(["evaluate", f"--model={run}", f"--out={out}"]) == 0
        assert json.loads(out.read_text())["top1"] == metrics["top1"]
        assert f"fold {fold} of {FOLDS} by seed 0" in capsys.readouterr().out
    summary = json.loads((folder / "cross_validation.json").read_text())
    top1 = summary["metrics"]["top1"]
    assert top1["values"] == figures
    assert top1["mean"] == pytest.approx(statistics.mean(figures))
    assert top1["standard_deviation"] == pytest.approx(np.std(figures, ddof=1))
    answers = joined["probabilities"].argmax(axis=1)
    assert summary["all_images"]["top1"] == pytest.approx((answers == labels).mean())
    page = (folder / "report.html").read_text()
    assert "standard deviation" in page
    head, *rows = csv.reader((folder / "label_errors.csv").read_text().splitlines())
    suspected = label_errors.find(labels, joined["probabilities"])
    # Labels of noise are told no better than by chance.
    assert [int(row[0]) for row in rows] == suspected.tolist() != []
    number = suspected[0]
    assert rows[0][1:3] == [
        joined["classes"][labels[number]],
        joined["classes"][answers[number]],
    ]
    assert "Suspected label errors" in page
    assert head[:2] == ["image", "label"]


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 4 starts, each as long as the machine is busy
def test_ordered_classes_have_the_figures_of_scikit_learn(tmp_path):
    grades, random = ["low", "middle", "high"], np.random.default_rng(0)
    for number, name in enumerate(grades):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(8):
            pixels = random.integers(0, 90, (16, 16, 3)) + 80 * number
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(tmp_path / "photos" / name / f"{index}.png")
    order = [f"--set=class_order={','.join(grades)}", "--set=epochs=3"]
    more = ["--set=target=ordered", "--folds=2", *order]
    folder = tmp_path / "folds"
    assert cross_validate(f"folder:{tmp_path}/photos", folder, *more) == 0
    with np.load(folder / "out_of_sample.npz") as file:
        found = dict(file)
    assert found["classes"].tolist() == grades
    expected = [grades.index(path.split("/")[-2]) for path in found["paths"]]
    assert found["labels"].tolist() == expected
    counts = [np.bincount(found["labels"][found["fold"] == n]) for n in (1, 2)]
    np.testing.assert_array_equal(counts, 4)
    answers = found["probabilities"].argmax(axis=1)
    # The figures would be the same of classes in another order.
    assert len(set(answers)) == 3

    def figures(rows):
        pair = (found["labels"][rows], answers[rows])
        return {
            "mae": mean_absolute_error(*pair),
            "kappa": cohen_kappa_score(*pair, labels=[0, 1, 2], weights="quadratic"),
        }

    summary = json.loads((folder / "cross_validation.json").read_text())
    by_fold = [figures(found["fold"] == number) for number in (1, 2)]
    for name in ("mae", "kappa"):
        values = [each[name] for each in by_fold]
        assert summary["metrics"][name]["values"] == pytest.approx(values, abs=1e-9)
        mean = summary["metrics"][name]["mean"]
        assert mean == pytest.approx(statistics.mean(values), abs=1e-9)
        whole = figures(slice(None))[name]
        assert summary["all_images"][name] == pytest.approx(whole, abs=1e-9)


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 9 starts, each as long as the machine is busy
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the run")
def test_killed_folds_go_on_to_the_same_probabilities(tmp_path):
    data = f"array:{write_arrays(tmp_path / 'data.npz')}"

    def command(folder):
        return [
            *(sys.executable, "-m", "training.cross_validate_main"),
            *("--recipe=scratch_small", f"--data={data}", "--devices=cpu"),
            *("--set=variant=test_convnext2", "--set=size_px=16", "--set=epochs=8"),
            *("--set=patch_size=2", "--set=global_batch=8"),
            *("--folds=2", f"--workdir={tmp_path / folder}"),
        ]

    subprocess.run(command("whole"), cwd=ROOT, check=True, capture_output=True)
    killed = subprocess.Popen(command("killed"), cwd=ROOT, stdout=subprocess.DEVNULL)
    second = tmp_path / "killed" / "folds=2,fold=2"
    ends = time.monotonic() + 600
    while not list(second.glob("checkpoints/step-*.ckpt")) and time.monotonic() < ends:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    log = second.with_name(f"{second.name}.log")
    while "run the same command" not in log.read_text() and time.monotonic() < ends:
        time.sleep(0.01)
    assert not (second / "metrics.json").exists()
    done = subprocess.run(command("killed"), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "folds=2,fold=1: is finished" in done.stdout
    whole, resumed = (
        dict(np.load(tmp_path / folder / "out_of_sample.npz"))
        for folder in ("whole", "killed")
    )
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--folds=1"], "folds"),
        (["--folds=30"], "take fewer folds"),
        (["--set=target=labels", "--set=loss=focal"], "target=label or ordered"),
    ],
)
def test_mistakes_are_found_before_any_run(flags, words, tmp_path, capsys):
    data = f"array:{write_arrays(tmp_path / 'data.npz')}"
    assert cross_validate(data, tmp_path / "folds", *flags) == 2
    error = capsys.readouterr().err.strip()
    assert words in error
    assert not (tmp_path / "folds").exists()
