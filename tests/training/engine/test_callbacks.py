"""Keras' callbacks in the training loop: what each of them sees and may change."""

import csv
import dataclasses

import keras
import numpy as np
import pytest

from keras_convnext._messages import UsageError
from training.engine import trainer
from training.workdir import layout


@pytest.fixture
def recipe(tiny_recipe):
    """Three epochs without warm-up, so that every rate of the cosine is known."""
    return dataclasses.replace(tiny_recipe, epochs=3, warmup_epochs=0)


@pytest.fixture
def prepared(recipe, tiny_source, one_device, tmp_path):
    def make():
        place = layout.Workdir(tmp_path / "run")
        place.claim(layout.identity(recipe, "bars"))
        return trainer.prepare(recipe, tiny_source, place, one_device)

    return make


class Figures(keras.callbacks.Callback):
    """Keeps what every epoch is told, as a person's own callback would."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append(dict(logs))


def accuracy_of(model, source):
    images, labels = source.validation.images, source.validation.labels
    answers = model.predict(images.astype("float32"), verbose=0)
    return np.mean(answers.argmax(axis=1) == labels)


@pytest.mark.slow
def test_callbacks_that_watch_see_what_was_evaluated(
    prepared, tiny_source, tmp_path, monkeypatch
):
    posted, tested = [], []
    monkeypatch.setattr(
        "requests.post", lambda path, **what: posted.append(what), raising=True
    )
    evaluated = Figures()
    watchers = [
        evaluated,
        keras.callbacks.ModelCheckpoint(f"{tmp_path}/{{epoch}}.keras"),
        keras.callbacks.CSVLogger(f"{tmp_path}/log.csv"),
        keras.callbacks.TensorBoard(f"{tmp_path}/board"),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=50),
        keras.callbacks.RemoteMonitor(send_as_json=True),
        keras.callbacks.LambdaCallback(on_train_end=lambda logs: tested.append("end")),
    ]
    run = prepared()
    trainer.train(run, watchers)
    assert len(evaluated.rows) == 3
    average = run.train_state.averaged
    saved = keras.saving.load_model(tmp_path / "3.keras")
    last = evaluated.rows[-1]["val_accuracy"]
    assert accuracy_of(saved, tiny_source) == pytest.approx(last)
    for one, other in zip(saved.get_weights(), average.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in rows] == pytest.approx(
        [row["val_loss"] for row in evaluated.rows]
    )
    assert any((tmp_path / "board" / "validation").glob("events*"))
    assert len(posted) == 3
    assert tested == ["end"]


@pytest.mark.slow  # a run; test_patience.py has one with a callback, too
@pytest.mark.usefixtures("without_network")
def test_a_scheduler_sets_the_rate_of_every_step(prepared):
    rates = iter([3e-3, 1e-3, 2e-3])
    told, evaluated = [], Figures()
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: next(rates))
    run = prepared()
    steps = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: told.append(
            float(run.train_state.optimizer.learning_rate)
        )
    )
    trainer.train(run, [scheduler, steps, evaluated])
    assert told == pytest.approx([3e-3] * 5 + [1e-3] * 5 + [2e-3] * 5)
    assert [row["learning_rate"] for row in evaluated.rows] == pytest.approx(
        [3e-3, 1e-3, 2e-3]
    )


@pytest.mark.slow
def test_a_rate_that_a_callback_has_set_is_the_one_that_trains(prepared):
    """With a rate of 0 and no decay beside it nothing moves but the average."""
    still = keras.callbacks.LearningRateScheduler(lambda epoch: 0.0)
    run = prepared()
    before = [v.numpy() for v in run.train_state.model.trainable_variables]
    trainer.train(run, [still])
    for one, variable in zip(
        before, run.train_state.model.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(one, variable.numpy())


@pytest.mark.slow
def test_a_plateau_halves_the_rate_and_a_resumed_run_keeps_it(prepared):
    # An improvement by less than 100 counts as none.
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="val_loss", factor=0.5, patience=1, min_delta=100.0
    )
    evaluated, stopper = Figures(), Figures()
    stopper.on_epoch_begin = lambda epoch, logs=None: None

    def stop_after_two(epoch, logs=None):
        if epoch == 1:
            stopper.model.stop_training = True

    stopper.on_epoch_end = stop_after_two
    run = prepared()
    trainer.train(run, [plateau, evaluated, stopper])
    assert len(evaluated.rows) == 2
    # Halved at the end of the second epoch, from where the cosine was by then.
    halved = run.train_state.rate.value
    assert halved == pytest.approx(evaluated.rows[1]["learning_rate"] / 2, rel=0.2)
    again = prepared()
    assert again.progress.epoch == 2
    assert again.train_state.rate.value == pytest.approx(halved)
    trainer.train(again, [evaluated])
    assert evaluated.rows[2]["learning_rate"] == pytest.approx(halved)


@pytest.mark.slow
def test_early_stopping_puts_back_the_best_average(prepared, tiny_source):
    # Higher is worse here, so that the first epoch is the best whatever happens.
    stopping = keras.callbacks.EarlyStopping(
        monitor="accuracy",
        baseline=None,
        mode="min",
        min_delta=1.0,
        patience=1,
        restore_best_weights=True,
    )
    kept = []
    run = prepared()
    first = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append(
            run.train_state.averaged.get_weights()
        )
    )
    trainer.train(run, [first, stopping])
    assert len(kept) == 2
    for one, other in zip(kept[0], run.train_state.averaged.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        (lambda to: keras.callbacks.BackupAndRestore(to), "own checkpoints"),
        (lambda to: keras.callbacks.SwapEMAWeights(), "ema_decay"),
    ],
)
def test_a_callback_that_cannot_work_is_refused_before_the_first_step(
    prepared, tmp_path, callback, words
):
    run = prepared()
    with pytest.raises(UsageError, match=f"is not supported in this .* {words}"):
        trainer.train(run, [callback(str(tmp_path))])
    assert run.progress.step == 0
