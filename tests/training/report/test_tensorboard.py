"""What TensorBoard is given."""

import contextlib

import pytest
import tensorflow as tf

from training.report import tensorboard
from training.report.tensorboard import Profile, Summaries


def test_every_figure_is_written_with_its_epoch(tmp_path):
    summaries = Summaries(tmp_path)
    summaries.on_epoch_end(0, {"loss": 2.0, "val_accuracy": 0.25})
    summaries.on_epoch_end(1, {"loss": 1.5, "val_accuracy": 0.5})

    [file] = tmp_path.iterdir()
    found = []
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        found += [
            (event.step, value.tag, float(tf.make_ndarray(value.tensor)))
            for value in event.summary.value
        ]
    assert found == [
        (1, "loss", 2.0),
        (1, "val_accuracy", 0.25),
        (2, "loss", 1.5),
        (2, "val_accuracy", 0.5),
    ]


def test_a_full_disk_is_an_error_of_the_disk(tmp_path):
    summaries = Summaries(tmp_path)

    class Full:
        def as_default(self):
            return contextlib.nullcontext()

        def flush(self):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left")

    summaries._writer = Full()
    with pytest.raises(OSError, match="No space left on device") as raised:
        summaries.on_epoch_end(0, {"loss": 1.0})
    assert raised.value.filename == str(tmp_path)


@pytest.fixture
def calls(monkeypatch):
    """What the profiler was asked to do, instead of doing it."""
    asked = []
    profiler = tf.profiler.experimental
    monkeypatch.setattr(profiler, "start", lambda folder: asked.append("start"))
    monkeypatch.setattr(profiler, "stop", lambda: asked.append("stop"))
    return asked


def test_the_steps_asked_for_are_recorded_over_the_end_of_an_epoch(tmp_path, calls):
    profile = Profile(tmp_path, first=3, last=5)
    for batch in [0, 1, 2, 3, 0, 1, 2, 3]:
        profile.on_train_batch_begin(batch)
        calls.append("step")
        profile.on_train_batch_end(batch)
    profile.on_train_end()
    assert calls == [
        *("step", "step", "start", "step", "step", "step", "stop"),
        *("step", "step", "step"),
    ]


def test_a_run_that_ends_early_ends_the_recording(tmp_path, calls):
    profile = Profile(tmp_path, first=1, last=100)
    profile.on_train_batch_begin(0)
    profile.on_train_batch_end(0)
    profile.on_train_end()
    assert calls == ["start", "stop"]


def test_a_recording_is_a_file(tmp_path):
    profile = Profile(tmp_path, first=1, last=1)
    profile.on_train_batch_begin(0)
    tf.reduce_sum(tf.ones([10, 10]))
    profile.on_train_batch_end(0)
    assert list(tmp_path.rglob("*.xplane.pb"))


@pytest.mark.parametrize("text", ["", "10", "10,", "a,b", "0,5", "5,4", "1,2,3"])
def test_other_steps_are_refused(text):
    with pytest.raises(ValueError, match="such as 10,20; got"):
        tensorboard.parse_steps(text)


def test_two_numbers_are_the_first_and_the_last_step():
    assert tensorboard.parse_steps("10, 20") == (10, 20)
