"""The history of a run: one row of figures for each epoch."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import keras

from keras_convnext import _files


class HistoryFile(keras.callbacks.Callback):
    """Keeps `history.csv`, whole after every epoch.

    Args:
        path: The file. Rows of an earlier session are kept.
        epochs_done: Rows from this epoch on are dropped: the run does them again.

    Attributes:
        rows: Figures by name, one entry an epoch, earlier sessions included.
    """

    def __init__(self, path: Path, epochs_done: int = 0) -> None:
        super().__init__()
        self.path = path
        self.rows = [row for row in read(path) if row["epoch"] <= epochs_done]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.rows.append({"epoch": float(epoch + 1), **(logs or {})})
        text = io.StringIO()
        # Some figures are of some epochs alone.
        columns = dict.fromkeys(name for row in self.rows for name in row)
        writer = csv.DictWriter(text, list(columns), lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({name: f"{value:.9g}" for name, value in row.items()})
        _files.write_text(self.path, text.getvalue())


def read(path: Path) -> list[dict[str, float]]:
    """Returns the rows of a history file; none where there is no file.

    A row has the figures of its epoch alone.
    """
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]
