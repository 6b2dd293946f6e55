"""A run ends when its best epoch is too long ago, and stays ended."""

import dataclasses
import json
from types import SimpleNamespace

import keras
import pytest

from training.engine import finish, run, trainer
from training.recipes import table
from training.workdir.history import HistoryFile
from training.workdir.layout import Workdir, identity


class Epochs(keras.callbacks.Callback):
    """Notes the epochs that were trained."""

    def __init__(self):
        super().__init__()
        self.ended = []

    def on_epoch_end(self, epoch, logs=None):
        self.ended.append(epoch + 1)


@pytest.fixture
def prepare(tiny_recipe, tiny_source, one_device, tmp_path):
    """Returns a function to a run that learns nothing: its first epoch is the best."""
    recipe = dataclasses.replace(
        tiny_recipe,
        epochs=6,
        peak_lr=1e-30,
        min_lr=0.0,
        weight_decay=0.0,
        keep="best",
        patience=2,
    )

    def make():
        workdir = Workdir(tmp_path)
        workdir.claim(identity(recipe, "bars"))
        return trainer.prepare(recipe, tiny_source, workdir, one_device)

    return make


@pytest.mark.usefixtures("without_network")
@pytest.mark.slow
def test_it_ends_two_epochs_after_the_best_and_is_not_resumed(prepare, monkeypatch):
    monkeypatch.setattr("training.report.figures.draw", lambda *_: {})
    begun, epochs = prepare(), Epochs()
    history = HistoryFile(begun.workdir.history)
    trainer.train(begun, [history, epochs])
    assert epochs.ended == [1, 2, 3]
    again, more = prepare(), Epochs()
    trainer.train(again, [more])
    assert more.ended == []
    metrics = finish.leave(again, history.rows)
    assert (metrics["epochs"], metrics["kept_epoch"]) == (3, 1)
    assert json.loads(begun.workdir.metrics.read_text())["best_epoch"] == 1


@pytest.mark.parametrize(
    ("is_chief", "best", "ends"), [(True, 1, True), (True, 2, False), (False, 1, False)]
)
def test_the_chief_decides_for_all_workers(is_chief, best, ends):
    asked = []

    def any_worker(flag):
        asked.append(flag)
        return flag

    here = SimpleNamespace(
        recipe=SimpleNamespace(patience=3),
        checkpoints=SimpleNamespace(best_epoch=lambda: best),
        progress=SimpleNamespace(epoch=4),
        backend=SimpleNamespace(is_chief=is_chief, any_worker=any_worker),
    )
    assert run.Run.is_out_of_patience(here) is ends
    assert asked == [ends]


def test_patience_is_for_runs_that_keep_the_best_epoch():
    with pytest.raises(ValueError, match="patience is 3, not none, or 1 or more with"):
        table.resolve("demo", ["patience=3", "keep=last"])
