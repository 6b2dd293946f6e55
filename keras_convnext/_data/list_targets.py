"""What a list says of an image: one class, several labels, or a number."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from keras_convnext._data.class_folders import is_label
from keras_convnext._data.data_error import DataError
from keras_convnext._data.tables import Row, Table
from keras_convnext._files import first_few

LABEL = "label"
# Divides the labels in a cell.
SEPARATOR = ";"
TARGETS = ("label", "labels", "number")
_BITS = {"0": False, "1": True, "false": False, "true": True}


class BadCell(ValueError):
    """A cell that cannot be used.

    Attributes:
        what: What the row has, "an empty label".
        shown: The cell; empty where that says it all.
    """

    def __init__(self, what: str, shown: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.shown = shown


@dataclass(frozen=True)
class Target:
    """How a table says what is joined to an image.

    Attributes:
        read: From a row to a class's name, a tuple of names, or a number; raises
            BadCell.
        classes: Names of the columns that are labels; None where cells name them.
    """

    read: Callable[[Row], Any]
    classes: tuple[str, ...] | None = None


def find_target(table: Table, kind: str | None, others: Collection[str]) -> Target:
    """Returns how a table says what is joined to an image.

    Args:
        table: The list.
        kind: One of `TARGETS`; None for images alone, whose labels are shown at most.
        others: Columns that say something else.

    Raises:
        DataError: Columns are missing.
    """
    if kind is None:
        return Target(lambda row: _text(row.cells.get(LABEL)))
    if LABEL in table.columns:
        return Target(_READERS[kind])
    columns = tuple(name for name in table.columns if name and name not in others)
    if kind == "labels" and columns:
        bad = [name for name in columns if not is_label(name)]
        if bad:
            raise DataError(f"{table.file}: no labels: {first_few(map(repr, bad))}.")
        return Target(lambda row: _read_columns(row, columns), columns)
    raise DataError(
        f"{table.file} has no column {LABEL}; it has "
        f"{first_few(map(repr, table.columns))}. The first line names the columns"
        + {
            "label": "; a column of 0 and 1 for each label is for --set target=labels",
            "labels": "; without it, each other column is a label of 0 and 1",
            "number": "",
        }[kind]
        + "."
    )


def _text(cell: Any) -> str:
    return unicodedata.normalize("NFC", str("" if cell is None else cell).strip())


def _read_label(row: Row) -> str:
    cell = row.cells.get(LABEL)
    if isinstance(cell, list | dict):
        raise BadCell("several labels, which --set target=labels takes", repr(cell))
    label = _text(cell)
    if not label:
        raise BadCell("an empty label")
    if not is_label(label):
        raise BadCell("a label with several lines", repr(label))
    return label


def _read_labels(row: Row) -> tuple[str, ...]:
    cell = row.cells.get(LABEL)
    parts = cell if isinstance(cell, list) else _text(cell).split(SEPARATOR)
    labels = {label for part in parts if (label := _text(part))}
    if bad := [label for label in labels if not is_label(label)]:
        raise BadCell("a label with several lines", repr(bad[0]))
    return tuple(sorted(labels))


def _read_columns(row: Row, columns: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    for name in columns:
        cell = _text(row.cells.get(name)).lower()
        if cell not in _BITS:
            raise BadCell(
                "a cell that is neither 0 nor 1 in a column of a label",
                f"{cell!r} of {name}",
            )
        if _BITS[cell]:
            found.append(name)
    return tuple(found)


def _read_number(row: Row) -> float:
    cell = row.cells.get(LABEL)
    text = _text(cell)
    if not text:
        raise BadCell("an empty label")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if isinstance(cell, bool) or not math.isfinite(number):
        raise BadCell("a label that is no finite number", repr(text))
    return number


_READERS: dict[str, Callable[[Row], Any]] = {
    "label": _read_label,
    "labels": _read_labels,
    "number": _read_number,
}
