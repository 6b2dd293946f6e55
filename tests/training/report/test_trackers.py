"""Figures sent to Weights & Biases and MLflow; with their packages where they are."""

import importlib.machinery
import json
import struct
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_convnext._messages import UsageError
from tests.checks import write_arrays
from training import main
from training.report import trackers
from training.workdir.layout import Workdir

FIGURES = [{"loss": 2.0, "val_accuracy": 0.25}, {"loss": 1.5, "val_accuracy": 0.5}]


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    folder = tmp_path / "run"
    folder.mkdir()
    recipe = {"name": "demo", "epochs": 3, "augmentation": {"flip": True}}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return Workdir(folder)


class StandIn:
    """What wandb.init returns, and what it was told."""

    def __init__(self, **options) -> None:
        self.options, self.told, self.ended = options, [], False
        self.id = options["id"] or "new"
        self.url, self.dir = None, "run/wandb/files"

    def log(self, figures, step) -> None:
        self.told.append((step, figures))

    def finish(self) -> None:
        self.ended = True


@pytest.fixture
def wandb(monkeypatch) -> types.ModuleType:
    """A stand-in for the package, so that the order of calls is known without it."""
    module = types.ModuleType("wandb")
    module.__spec__ = importlib.machinery.ModuleSpec("wandb", None, origin="here")
    module.runs = []
    module.Settings = dict

    def init(**options) -> StandIn:
        module.runs.append(StandIn(**options))
        return module.runs[-1]

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def log(callback, first: int = 0) -> None:
    for epoch, figures in enumerate(FIGURES, first):
        callback.on_epoch_end(epoch, figures)


def test_a_resumed_run_has_the_name_that_it_had(workdir, wandb):
    log(trackers.TRACKERS["wandb"](workdir))
    again = trackers.TRACKERS["wandb"](workdir)
    log(again, 2)
    again.on_train_end()
    first, second = wandb.runs
    assert (first.options["id"], second.options["id"]) == (None, "new")
    assert first.options["config"] == workdir.stored()
    steps = [step for run in wandb.runs for step, _ in run.told]
    assert steps == [1, 2, 3, 4]
    assert [run.ended for run in wandb.runs] == [False, True]


def test_what_hinders_the_package_is_one_line(workdir, wandb):
    def init(**options):
        raise RuntimeError("No API key.\nUse `wandb login`.")

    wandb.init = init
    with pytest.raises(UsageError, match=r"cannot open the run: No API key\. Use `w"):
        trackers.TRACKERS["wandb"](workdir)
    assert not (workdir.path / "tracking.json").exists()


def test_a_run_that_cannot_be_opened_leaves_no_workdir(tmp_path, wandb, capfd):
    def init(**options):
        raise RuntimeError("No API key.")

    wandb.init = init
    data = write_arrays(tmp_path / "data.npz")
    arguments = ["--recipe=scratch_small", f"--data=array:{data}", "--log_to=wandb"]
    arguments += [f"--workdir={tmp_path / 'run'}", "--set=variant=test_convnext2"]
    arguments += ["--set=size_px=16", "--set=global_batch=8"]
    assert main.main(["main", *arguments]) == 2
    assert "--log_to=wandb cannot open the run: No API key." in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_other_names_and_missing_packages_are_refused(wandb, monkeypatch, tmp_path):
    assert trackers.parse("wandb, wandb") == ["wandb"]
    for text in ("", "tensorboard", "wandb,aim"):
        with pytest.raises(ValueError, match="--log_to takes wandb, mlflow"):
            trackers.parse(text)
    monkeypatch.delitem(sys.modules, "wandb")
    # What earlier runs left in the folder is no package.
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(ValueError, match=r"pip install 'keras-convnext\[wandb\]'"):
        trackers.parse("wandb")


def records(file: Path) -> Iterator[bytes]:
    """Yields the records of an offline run: a log in blocks, as LevelDB writes it."""
    data, at, record = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 2**15 - at % 2**15) < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        begun = record if kind in (3, 4) else b""
        record = begun + data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record


def test_the_package_of_weights_and_biases_writes_both_sessions(workdir, monkeypatch):
    pytest.importorskip("wandb.proto.wandb_internal_pb2")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    for first in (0, 2):
        callback = trackers.TRACKERS["wandb"](workdir)
        log(callback, first)
        callback.on_train_end()
    files = sorted((workdir.path / "wandb").glob("offline-run-*/*.wandb"))
    found = [Record.FromString(each) for file in files for each in records(file)]
    assert len({each.run.run_id for each in found if each.HasField("run")}) == 1
    rows = [each.history for each in found if each.HasField("history")]
    assert [row.step.num for row in rows] == [1, 2, 3, 4]
    cells = [{i.key or i.nested_key[0]: i.value_json for i in row.item} for row in rows]
    assert [float(cell["loss"]) for cell in cells] == [2.0, 1.5, 2.0, 1.5]


def test_the_package_of_mlflow_keeps_both_sessions(workdir, monkeypatch, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    store = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    log(trackers.TRACKERS["mlflow"](workdir))
    callback = trackers.TRACKERS["mlflow"](workdir)
    log(callback, 2)
    callback.on_train_end()
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("keras_convnext")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    expected = {"name": "demo", "epochs": "3", "augmentation.flip": "True"}
    assert run.data.params == expected
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(each.step, each.value) for each in history] == [
        *((1, 2.0), (2, 1.5)),
        *((3, 2.0), (4, 1.5)),
    ]
