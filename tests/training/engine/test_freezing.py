"""The head first, then all: what stands still, what goes on, and what is kept."""

import dataclasses
import json
import os
import signal

import keras
import numpy as np
import pytest

from keras_convnext._messages import Interrupted
from training.engine import finish, trainer
from training.tasks.classification import is_head
from training.workdir.checkpoints import TrainProgress
from training.workdir.layout import Workdir, identity


@pytest.fixture
def prepared(tiny_recipe, tiny_source, one_device):
    """Returns a function from a folder to a run: one epoch of the head, two of all."""

    def prepare(folder, **changes):
        changes = {
            "epochs": 3,
            "frozen_epochs": 1,
            "frozen_lr": 0.02,
            "layer_decay": 0.8,
            "warmup_epochs": 0,
            **changes,
        }
        recipe = dataclasses.replace(tiny_recipe, **changes)
        workdir = Workdir(folder)
        workdir.claim(identity(recipe, "bars"))
        return trainer.prepare(recipe, tiny_source, workdir, one_device)

    return prepare


class Watch(keras.callbacks.Callback):
    """Copies everything after each epoch, and may ask the run to stop in a step."""

    def __init__(self, run, stop_after=None):
        super().__init__()
        self.run, self.left = run, stop_after
        self.copies, self.rates = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.run.train_state.optimizer.learning_rate))
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGTERM)

    def on_epoch_end(self, epoch, logs=None):
        self.copies.append(values(self.run))


def values(run):
    return {name: v.numpy().copy() for name, v in run.train_state.variables().items()}


def changed(before, after, kind):
    return {
        name.removeprefix(kind)
        for name, value in before.items()
        if name.startswith(kind) and (value != after[name]).any()
    }


@pytest.mark.slow  # half a minute
def test_the_head_alone_learns_and_then_all_do(prepared, tmp_path):
    run = prepared(tmp_path)
    start = values(run)
    watch = Watch(run)
    trainer.train(run, [watch])
    frozen, first, _ = watch.copies
    learns = {v.path for v in run.train_state.model.trainable_variables}
    head = {path for path in learns if is_head(path)}
    assert head == {
        "head_norm/gamma",
        "head_norm/beta",
        "head_dense/kernel",
        "head_dense/bias",
    }
    for kind in ("model/", "average/"):
        assert changed(start, frozen, kind) == head
        assert changed(frozen, first, kind) == learns
    # The moments of what stood still are untouched: they start with its first step.
    touched = changed(start, frozen, "optimizer/layerwise_adamw/")
    assert all("head_" in name for name in touched - {"iteration"}), touched
    # Each as it is for the step that comes next: held, and then the whole cosine over
    # the ten steps that are left.
    assert watch.rates[:4] == pytest.approx([0.02] * 4)
    assert watch.rates[4] == pytest.approx(run.recipe.peak_lr)
    assert watch.rates[-1] == pytest.approx(run.recipe.min_lr)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [3, 5, 7], ids=["before", "at", "after"])
def test_a_run_stopped_near_the_boundary_ends_as_one_that_was_not(
    prepared, tmp_path, steps
):
    changes = {"epochs": 2}
    whole = prepared(tmp_path / "whole", **changes)
    trainer.train(whole)
    halved = prepared(tmp_path / "halved", **changes)
    with pytest.raises(Interrupted):
        trainer.train(halved, [Watch(halved, stop_after=steps)])
    again = prepared(tmp_path / "halved", **changes)
    assert again.progress.step == steps
    trainer.train(again)
    expected = values(whole)
    for name, value in values(again).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_the_best_epoch_is_what_is_left(prepared, tmp_path):
    run = prepared(tmp_path, keep="best", keep_checkpoints=1, ema_decay=None)
    random = np.random.default_rng(0)
    written = {}
    for epoch, score in ((1, 0.4), (2, 0.9), (3, 0.5)):
        weights = [
            random.normal(size=w.shape).astype("float32")
            for w in run.train_state.model.get_weights()
        ]
        run.train_state.model.set_weights(weights)
        written[epoch] = weights
        run.progress = TrainProgress(epoch=epoch, step=5 * epoch, score=score)
        run.save()
    row = dict.fromkeys(
        ["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"], 0.5
    )
    rows = [{"epoch": 1.0, "images_per_second": 1.0, **row}]
    assert finish.leave(run, rows)["kept_epoch"] == 2
    kept = keras.saving.load_model(tmp_path / "model.keras")
    for value, expected in zip(kept.get_weights(), written[2], strict=True):
        np.testing.assert_array_equal(value, expected)
    assert json.loads((tmp_path / "metrics.json").read_text())["kept_epoch"] == 2
