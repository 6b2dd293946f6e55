"""history.csv grows by a row an epoch and resumes after a stop."""

import csv

from training.workdir import history
from training.workdir.history import HistoryFile


def test_a_row_is_there_after_every_epoch(tmp_path):
    file = HistoryFile(tmp_path / "history.csv")
    file.on_epoch_end(0, {"loss": 1 / 3, "val_accuracy": 0.5})
    file.on_epoch_end(1, {"loss": 0.25, "val_accuracy": 0.75})
    with open(tmp_path / "history.csv", newline="") as text:
        rows = list(csv.DictReader(text))
    assert rows == [
        {"epoch": "1", "loss": "0.333333333", "val_accuracy": "0.5"},
        {"epoch": "2", "loss": "0.25", "val_accuracy": "0.75"},
    ]


def test_a_figure_of_some_epochs_is_an_empty_cell_in_the_others(tmp_path):
    path = tmp_path / "history.csv"
    file = HistoryFile(path)
    given = [{"loss": 2.0}, {"loss": 1.0, "probed": 0.5}, {"loss": 0.5}]
    for epoch, logs in enumerate(given):
        file.on_epoch_end(epoch, logs)
    lines = path.read_text().splitlines()
    assert lines == ["epoch,loss,probed", "1,2,", "2,1,0.5", "3,0.5,"]
    assert history.read(path) == [
        {"epoch": n + 1.0, **row} for n, row in enumerate(given)
    ]
    # A later session writes them as they were.
    HistoryFile(path, epochs_done=2).on_epoch_end(2, given[2])
    assert path.read_text().splitlines() == lines


def test_rows_of_epochs_that_are_done_again_are_dropped(tmp_path):
    path = tmp_path / "history.csv"
    first = HistoryFile(path)
    for epoch in range(3):
        first.on_epoch_end(epoch, {"loss": 1.0 + epoch})
    # The newest checkpoint is from the end of the second epoch.
    second = HistoryFile(path, epochs_done=2)
    second.on_epoch_end(2, {"loss": 9.0})
    assert [row["loss"] for row in history.read(path)] == [1.0, 2.0, 9.0]
    assert second.rows == history.read(path)
