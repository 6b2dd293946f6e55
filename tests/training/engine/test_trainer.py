"""The loop: it stops, resumes, tells callbacks, and refuses what is no number."""

import dataclasses
import math
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_convnext._messages import Interrupted, UsageError
from training import data
from training.data.examples import Records
from training.engine import tensorflow_backend, trainer
from training.workdir.layout import Workdir, identity


@pytest.fixture
def prepared(tiny_recipe, tiny_source, one_device):
    """Returns a function from a folder to a run that is ready to resume there."""

    def prepare(folder, **changes):
        recipe = dataclasses.replace(tiny_recipe, **changes)
        workdir = Workdir(folder)
        workdir.claim(identity(recipe, "bars"))
        return trainer.prepare(recipe, tiny_source, workdir, one_device)

    return prepare


class At(keras.callbacks.Callback):
    """Does something once, after a number of steps."""

    def __init__(self, steps, action):
        super().__init__()
        self.left = steps
        self.action = action

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            self.action()


class Record(keras.callbacks.Callback):
    """Notes what it is told."""

    def __init__(self):
        super().__init__()
        self.batches = []
        self.epochs = []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(batch)

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, logs))


def everything_of(run):
    return {
        name: variable.numpy() for name, variable in run.checkpoints.variables.items()
    }


def stop(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.slow  # a minute
def test_an_interrupted_run_in_larger_calls_ends_as_a_whole_one(prepared, tmp_path):
    whole = prepared(tmp_path / "whole")
    told_whole = Record()
    trainer.train(whole, [told_whole])

    first = prepared(tmp_path / "parts", steps_per_call=3)
    # The call of steps 1 to 3 is over when its steps are told.
    with pytest.raises(Interrupted, match="stopped after step 3 "):
        trainer.train(first, [At(2, stop(signal.SIGTERM))])
    second = prepared(tmp_path / "parts", steps_per_call=3)
    assert second.progress.step == 3
    told_second = Record()
    trainer.train(second, [told_second])

    assert told_second.batches == [3, 4, 0, 1, 2, 3, 4]
    expected = everything_of(whole)
    for name, value in everything_of(second).items():
        # The same operations on the same numbers: to the bit.
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    for (_, one), (_, other) in zip(told_whole.epochs, told_second.epochs, strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
            assert one[name] == other[name]


def test_callbacks_get_the_figures_of_every_epoch(prepared, tmp_path, without_network):
    told = Record()
    run = prepared(tmp_path)
    trainer.train(run, [told])
    assert told.batches == [0, 1, 2, 3, 4] * 2
    assert [epoch for epoch, _ in told.epochs] == [0, 1]
    _, logs = told.epochs[-1]
    assert logs["loss"] == 0.5
    assert logs["accuracy"] == 6 / 8
    # Of 13 labels 0, 1, 2, 0 ...: five are 0, nine are 0 or 1; padding is left out.
    assert logs["val_accuracy"] == pytest.approx(5 / 13)
    assert logs["val_top5"] == pytest.approx(9 / 13)
    assert logs["val_loss"] == pytest.approx((4 * 1 + 4 * 2) / 13)
    # Ten steps of ten: the cosine is at its end.
    assert logs["learning_rate"] == pytest.approx(run.recipe.min_lr)


def test_a_callback_may_end_the_run(prepared, tmp_path, without_network):
    run = prepared(tmp_path, epochs=5)
    stopper = keras.callbacks.EarlyStopping("loss", patience=1)
    trainer.train(run, [stopper])
    assert run.progress.epoch == 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_the_run_between_steps_with_a_checkpoint(
    prepared, tmp_path, without_network, number, code
):
    before = signal.getsignal(number)
    run = prepared(tmp_path)
    with pytest.raises(Interrupted, match="run the same command to resume") as raised:
        trainer.train(run, [At(7, stop(number))])
    assert raised.value.exit_code == code
    assert signal.getsignal(number) is before
    names = sorted(os.listdir(run.checkpoints.folder))
    assert names == ["step-000000005.ckpt", "step-000000007.ckpt"]
    again = prepared(tmp_path)
    assert (again.progress.epoch, again.progress.batch) == (1, 2)
    assert again.progress.totals["loss"] == 1.0


def test_a_signal_while_it_is_judged_is_heeded_and_no_step_is_taken_again(
    prepared, tmp_path, without_network, monkeypatch
):
    evaluated = tensorflow_backend.make_evaluation_step

    def make_evaluation_step(model, measure, strategy, model_inputs):
        step = evaluated(model, measure, strategy, model_inputs)

        def evaluation_step(images, labels):
            os.kill(os.getpid(), signal.SIGTERM)
            return step(images, labels)

        return evaluation_step

    with monkeypatch.context() as patched:
        patched.setattr(
            tensorflow_backend, "make_evaluation_step", make_evaluation_step
        )
        with pytest.raises(Interrupted, match=r"stopped after step 5 \(epoch 1 of 2"):
            trainer.train(prepared(tmp_path))
    again = prepared(tmp_path)
    assert (again.progress.epoch, again.progress.batch) == (0, 5)
    told = Record()
    trainer.train(again, [told])
    assert told.batches == [0, 1, 2, 3, 4]
    assert [epoch for epoch, _ in told.epochs] == [0, 1]
    # Of the steps that an earlier session took.
    assert told.epochs[0][1]["loss"] == 0.5
    assert os.listdir(again.checkpoints.folder)


def test_a_step_that_went_wrong_within_a_call_is_named(
    prepared, tmp_path, without_network, monkeypatch
):
    def make_step_loop(step, strategy):
        losses = np.float32([0.5, math.inf, math.nan, 0.5])
        figures = dict.fromkeys(("accuracy", "gradient_norm", "waited"), np.ones(4))
        return lambda batches, count: {
            name: tf.constant(values[: int(count)])
            for name, values in {**figures, "loss": losses}.items()
        }

    monkeypatch.setattr(tensorflow_backend, "make_step_loop", make_step_loop)
    run = prepared(tmp_path, steps_per_call=4)
    with pytest.raises(UsageError, match=r"loss is inf at step 2 \(epoch 1, batch 2"):
        trainer.train(run)
    assert os.listdir(run.checkpoints.folder) == []


def test_data_that_end_too_early_are_named(
    prepared, tmp_path, without_network, monkeypatch
):
    run = prepared(tmp_path)
    whole = run.source.train(8, epoch=0, seed=0, augment=run.recipe.augmentation)
    short = whole.take(3)
    monkeypatch.setattr(data.Source, "train", lambda *_, **named: short)
    with pytest.raises(UsageError, match="the data ended before batch 5 of epoch 1"):
        trainer.train(run)


def test_an_image_that_cannot_be_decoded_is_a_line(prepared, tmp_path, without_network):
    run = prepared(tmp_path)
    small = tf.io.encode_png(np.zeros((16, 16, 3), np.uint8)).numpy()

    def read(number):
        return (small if number else small[:40]), number % 3

    source = dataclasses.replace(run.source, training=Records(40, read))
    run = dataclasses.replace(run, source=source)
    with pytest.raises(
        UsageError, match=r"of batch \d of epoch 1 cannot be read \(.*PNG"
    ):
        trainer.train(run)


@pytest.mark.parametrize("name", ["loss", "gradient_norm"])
def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(
    prepared, tmp_path, without_network, name
):
    run = prepared(tmp_path)

    def spoil():
        without_network[name].assign(math.nan)

    words = name.replace("_", " ")
    with pytest.raises(
        UsageError, match=rf"{words} is nan at step 7 \(epoch 2, batch 2"
    ):
        trainer.train(run, [At(6, spoil)])
    assert os.listdir(run.checkpoints.folder) == ["step-000000005.ckpt"]


def test_the_checkpoint_from_before_is_named(prepared, tmp_path, without_network):
    def spoil():
        without_network["loss"].assign(math.nan)

    with pytest.raises(UsageError, match=r"at step 2 .*; there is no checkpoint yet\."):
        trainer.train(prepared(tmp_path), [At(1, spoil)])
    without_network["loss"].assign(0.5)
    with pytest.raises(UsageError, match=r"at step 7 .*5\.ckpt is from before\. Try"):
        trainer.train(prepared(tmp_path), [At(6, spoil)])


def test_a_batch_that_devices_cannot_share_is_a_mistake(
    tiny_recipe, tiny_source, tmp_path
):
    class ThreeDevices:
        num_replicas_in_sync = 3

    with pytest.raises(UsageError, match=r"global_batch=8 .* devices 3, .* --set .*=6"):
        trainer.prepare(tiny_recipe, tiny_source, Workdir(tmp_path), ThreeDevices())


def test_fields_that_make_no_network_are_a_mistake(prepared, tmp_path):
    with pytest.raises(UsageError, match="recipe tiny: "):
        prepared(tmp_path, variant="convnext_tinny")
