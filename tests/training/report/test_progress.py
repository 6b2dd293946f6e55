"""Bars in a terminal, lines elsewhere."""

import io

import pytest

from training.recipes.metric import Metric
from training.report import progress
from training.report.progress import Progress, clock, epoch_line

LOGS = {
    "loss": 1.25,
    "accuracy": 0.5,
    "val_loss": 0.75,
    "val_accuracy": 0.8125,
    "images_per_second": 1234.4,
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def time(monkeypatch):
    """A clock that a test moves on by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


METRIC = Metric("top1", figure="accuracy", words="accuracy")


def run_epoch(shown, time, seconds_a_step, epoch=0, steps=10):
    shown.on_epoch_begin(epoch)
    for batch in range(steps):
        time[0] += seconds_a_step
        shown.on_train_batch_end(batch, {"loss": 1.5})
    shown.on_epoch_end(epoch, LOGS)


def test_a_terminal_gets_a_bar_that_is_drawn_over(time):
    stream = Terminal()
    run_epoch(Progress(2, 10, 32, stream=stream), time, 1.0)
    building, *drawn = stream.getvalue().split("\r")[1:]
    assert "building the graph" in building
    # Nine steps of one second after the first; 32 images a second.
    assert drawn[4].startswith("#" * 11 + " " * 11)
    assert "32 img/s" in drawn[4]
    # Five steps of this epoch and ten of the next.
    assert "0:15 left" in drawn[4]
    assert stream.getvalue().count("\n") == 1


def test_elsewhere_there_are_whole_lines_once_a_minute(time):
    stream = io.StringIO()
    run_epoch(Progress(2, 10, 32, stream=stream, metric=METRIC), time, 25.0)
    text = stream.getvalue()
    assert "\r" not in text
    assert "\x1b" not in text
    lines = text.splitlines()
    assert [line.split()[3] for line in lines[:-1]] == ["3/10", "6/10", "9/10"]
    assert "val loss 0.750  val accuracy 81.25%" in lines[-1]
    assert "epoch 1/2  loss 1.250  accuracy 50.0%" in lines[-1]
    assert "1,234 img/s" in lines[-1]
    assert "4:10 left" in lines[-1]


def test_time_left_includes_evaluations_before_and_after_the_first(time):
    stream = Terminal()
    # 96 images are three steps' worth, which take a third of a step each.
    shown = Progress(3, 10, 32, stream=stream, evaluation_images=96)
    shown.on_epoch_begin(0)
    for batch in range(10):
        time[0] += 1.0
        shown.on_train_batch_end(batch, {"loss": 1.5})
    # Twenty steps and three evaluations.
    assert "0:23 left" in stream.getvalue().split("\r")[-1]
    time[0] += 7.0
    shown.on_epoch_end(0, LOGS)
    # Twenty steps and two evaluations of seven seconds.
    assert stream.getvalue().endswith("1,234 img/s  0:34 left\n")
    shown.on_epoch_begin(1)
    time[0] += 1.0
    shown.on_train_batch_end(0, {"loss": 1.5})
    last = stream.getvalue().split("\r")[-1]
    # An evaluation does not make training look slower.
    assert "32 img/s" in last
    assert "0:33 left" in last


def test_a_notebook_gets_a_bar_below_its_cell(time, monkeypatch):
    pytest.importorskip("ipywidgets")
    monkeypatch.setattr(progress.tqdm.auto, "tqdm", progress.tqdm.notebook.tqdm)
    stream = io.StringIO()
    shown = Progress(1, 10, 32, stream=stream)
    shown.on_epoch_begin(0)
    for batch in range(5):
        time[0] += 1.0
        shown.on_train_batch_end(batch, {"loss": 1.5})
    _, bar, words = shown._bar.container.children
    assert (bar.value, bar.max) == (5, 10)
    assert "0:05\u2007left" in words.value
    shown.on_train_end()
    assert shown._bar.container.layout.visibility == "hidden"
    assert stream.getvalue() == ""


def test_a_task_without_a_loss_of_validation_images_shows_its_metric():
    logs = {"loss": 1.25, "val_ap": 0.3125, "images_per_second": 2.0}
    line = epoch_line("epoch 1/2", logs, "0:10 left", Metric("ap", "ap", "box AP"))
    assert line == "epoch 1/2  loss 1.250  |  val box AP 31.25%  |  2 img/s  0:10 left"


def test_time_left_counts_what_earlier_sessions_have_done(time):
    stream = io.StringIO()
    shown = Progress(3, 10, 32, steps_done=10, stream=stream)
    run_epoch(shown, time, 1.0, epoch=1)
    assert "0:10 left" in stream.getvalue()
    run_epoch(shown, time, 1.0, epoch=2)
    assert stream.getvalue().endswith("done\n")


@pytest.mark.parametrize(("share", "told"), [(0.25, True), (0.05, False)])
def test_waiting_for_data_is_told_where_it_costs_something(time, share, told):
    stream = Terminal()
    shown = Progress(1, 10, 32, stream=stream)
    shown.on_epoch_begin(0)
    for batch in range(2):
        time[0] += 1.0
        shown.on_train_batch_end(batch, {"loss": 1.5, "data_wait": share})
    shown.on_epoch_end(0, {**LOGS, "data_wait": share})
    assert stream.getvalue().count("waiting for data 25%") == (3 if told else 0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0:00"), (65.4, "1:05"), (3599.6, "1:00:00"), (7389, "2:03:09")],
)
def test_a_time_span_is_told_as_on_a_clock(seconds, words):
    assert clock(seconds) == words
