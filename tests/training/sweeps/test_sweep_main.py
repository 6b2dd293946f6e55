"""A sweep trains what is missing, names what failed, and compares what there is."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.checks import write_arrays
from training import sweep_main
from training.sweeps import train
from training.workdir import identity

ROOT = Path(__file__).resolve().parents[3]
SMALL = ("--set=variant=test_convnext2", "--set=size_px=16", "--set=patch_size=2")


@pytest.fixture
def data(tmp_path):
    return f"array:{write_arrays(tmp_path / 'data.npz')}"


class Started:
    """Stands for the processes of runs: the peak learning rate is the accuracy."""

    def __init__(self):
        self.rates = []
        self.failing = {}

    def __call__(self, command, arguments, log):
        from training.recipes import table

        flags = [argument.removeprefix("--").split("=", 1) for argument in arguments]
        changes = [value for name, value in flags if name == "set"]
        given = dict(flag for flag in flags if len(flag) == 2)
        recipe = table.resolve(given["recipe"], changes)
        self.rates.append(recipe.peak_lr)
        if recipe.peak_lr in self.failing:
            log.write_text(f"begins\ntrain: error: {self.failing[recipe.peak_lr]}\n\n")
            return 2
        folder = Path(given["workdir"])
        folder.mkdir(parents=True)
        stored = identity(recipe, given["data"])
        (folder / "recipe.json").write_text(json.dumps(stored))
        row = f"1,0.5,0.5,0.4,{recipe.peak_lr},0.001"
        head = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate"
        (folder / "history.csv").write_text(f"{head}\n{row}\n")
        metrics = {"top1": recipe.peak_lr, "loss": 0.4, "train_seconds": 3.0}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        return 0


@pytest.fixture
def started(monkeypatch):
    fake = Started()
    monkeypatch.setattr(train, "run_command", fake)
    return fake


def sweep(data, folder, *flags):
    common = ["--recipe=scratch_small", f"--data={data}", f"--workdir={folder}"]
    return sweep_main.main(["sweep", *common, *SMALL, *flags])


def table_of(folder):
    with (folder / "runs.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_failed_run_is_named_and_the_others_go_on(data, tmp_path, started, capsys):
    folder = tmp_path / "sweep"
    started.failing = {0.5: "the loss is nan"}
    flags = ["--vary=peak_lr=0.25,0.5,0.75", "--vary=epochs=6,7"]
    assert sweep(data, folder, *flags) == 1
    assert started.rates == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    told = capsys.readouterr()
    assert "2 of 6 runs failed: peak_lr=0.5,epochs=6, peak_lr=0.5,epochs=7" in told.err
    assert "peak_lr=0.5,epochs=6: failed: the loss is nan" in told.out
    rows = table_of(folder)
    assert [row["peak_lr"] for row in rows] == ["0.75"] * 2 + ["0.25"] * 2 + ["0.5"] * 2
    assert [row["top1"] for row in rows[::2]] == ["0.75", "0.25", ""]
    assert rows[-1]["problem"] == "the loss is nan"
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png") == 2
    assert "the loss is nan" in page

    started.rates, started.failing = [], {}
    assert sweep(data, folder, *flags) == 0
    assert started.rates == [0.5, 0.5]
    started.rates = []
    assert sweep(data, folder, "--vary=peak_lr=0.25,0.5,1", flags[1]) == 0
    assert started.rates == [1, 1]


def test_random_settings_are_the_same_when_it_is_started_again(data, tmp_path, started):
    flags = ["--vary=peak_lr=loguniform(1e-4,1)", "--samples=3"]
    assert sweep(data, tmp_path / "sweep", *flags) == 0
    first = list(started.rates)
    assert len(set(first)) == 3
    assert sweep(data, tmp_path / "sweep", *flags[:1], "--samples=5") == 0
    assert started.rates[:3] == first
    assert len(started.rates) == 5


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--vary=peak_lr=0.1,fast"], "peak_lr takes a number, not 'fast'"),
        (["--vary=peek_lr=0.1"], "did you mean peak_lr?"),
        (["--vary=peak_lr=uniform(0,1)"], "--samples"),
        (["--vary=peak_lr=0.1", "--data=array:nowhere.npz"], "nowhere.npz"),
        (["--vary=peak_lr=0.1", "--recipe=scratch"], "no recipe called 'scratch'"),
    ],
)
def test_mistakes_are_found_before_any_run(
    flags, words, data, tmp_path, started, capsys
):
    assert sweep(data, tmp_path / "sweep", *flags) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert not started.rates
    assert not (tmp_path / "sweep").exists()


def test_a_folder_of_another_sweep_is_refused(data, tmp_path, started, capsys):
    assert sweep(data, tmp_path / "sweep", "--vary=peak_lr=0.1") == 0
    flags = ["--vary=peak_lr=0.1,0.2", "--set=weight_decay=0.5"]
    assert sweep(data, tmp_path / "sweep", *flags) == 2
    assert "holds another run (weight_decay=0.05 there" in capsys.readouterr().err
    assert started.rates == [0.1]


def newest(workdir):
    path = max((workdir / "checkpoints").glob("*.ckpt"))
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "position.json"}


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 5 starts, each as long as the machine is busy
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the run")
def test_a_killed_sweep_leaves_no_run_behind_and_goes_on_to_the_same_bits(
    data, tmp_path
):
    def command(folder):
        return [
            *(sys.executable, "-m", "training.sweep_main", "--recipe=scratch_small"),
            *(f"--data={data}", f"--workdir={tmp_path / folder}", "--devices=cpu"),
            *(*SMALL, "--set=epochs=12", "--set=global_batch=8"),
            "--vary=peak_lr=1e-3,2e-3",
        ]

    subprocess.run(command("whole"), cwd=ROOT, check=True, capture_output=True)
    killed = subprocess.Popen(command("killed"), cwd=ROOT, stdout=subprocess.DEVNULL)
    first = tmp_path / "killed" / "peak_lr=1e-3"
    ends = time.monotonic() + 300
    while not list(first.glob("checkpoints/step-*.ckpt")) and time.monotonic() < ends:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    log = first.with_name(f"{first.name}.log")
    while "run the same command" not in log.read_text() and time.monotonic() < ends:
        time.sleep(0.01)
    assert not (first / "metrics.json").exists()
    done = subprocess.run(command("killed"), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("peak_lr=1e-3", "peak_lr=2e-3"):
        whole, resumed = (newest(tmp_path / f / name) for f in ("whole", "killed"))
        assert whole.keys() == resumed.keys()
        for key, value in whole.items():
            np.testing.assert_array_equal(resumed[key], value)
