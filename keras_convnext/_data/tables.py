"""Tables as people's programs save them: CSV with a header, or an object a line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_convnext._data.data_error import DataError
from keras_convnext._files import first_few
from keras_convnext._text_files import decode_text

CSV, JSON_LINES = (".csv", ".tsv"), (".jsonl", ".ndjson")
# The first of them that a header has in it divides its columns.
_DELIMITERS = (",", "\t", ";")


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        line: Where it ends in the file, from 1.
        cells: Its values by the names of their columns: text in a CSV, anything that
            JSON has in the other form. What is left out there is not in it.
    """

    line: int
    cells: dict[str, Any]


@dataclass(frozen=True)
class Table:
    """What a file holds.

    Attributes:
        file: Where it is.
        columns: Their names, in the file's order.
        rows: In the file's order; empty lines are passed over.
        notices: Remarks worth a line each.
    """

    file: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notices: tuple[str, ...] = ()


def read_table(file: Path) -> Table:
    """Reads a .csv, .tsv or .jsonl file: UTF-8 or UTF-16, any line ends.

    Args:
        file: A CSV's first line names the columns; commas, tabs or semicolons divide
            them. In the other form every line is a JSON object.

    Raises:
        DataError: It cannot be read as a table; says what is wrong, with line numbers.
    """
    ending = file.suffix.lower()
    if ending not in (*CSV, *JSON_LINES):
        raise DataError(
            f"The list {file} ends in none of {', '.join((*CSV, *JSON_LINES))}."
        )
    try:
        text = decode_text(file.read_bytes(), str(file))
    except FileNotFoundError:
        raise DataError(f"There is no list {file}.") from None
    except OSError as error:
        raise DataError(f"The list {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{error}.") from error
    parse = _parse_csv if ending in CSV else _parse_json_lines
    columns, rows = parse(file, text.text)
    if not rows:
        raise DataError(f"{file} has no rows{' below its header' * (ending in CSV)}.")
    return Table(file, columns, rows, (text.notice,) if text.notice else ())


def _parse_csv(file: Path, text: str) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    header = text.partition("\n")[0]
    delimiter = next((each for each in _DELIMITERS if each in header), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}.") from error
    if not lines:
        raise DataError(f"{file} is empty.")
    (_, head), *body = lines
    columns = tuple(name.strip() for name in head)
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise DataError(f"{file} has several columns {first_few(twice)}.")
    uneven = [number for number, row in body if len(row) != len(columns)]
    if uneven:
        raise DataError(
            f"{file}: {count_rows(len(uneven), len(body))} not as many cells as the "
            f"header, {len(columns)}: {name_lines(uneven)}."
        )
    return columns, tuple(
        Row(number, dict(zip(columns, row, strict=True))) for number, row in body
    )


def _parse_json_lines(file: Path, text: str) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    rows = []
    for number, line in enumerate(io.StringIO(text), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise DataError(f"{file}, line {number} is no JSON object.")
        rows.append(Row(number, found))
    return tuple(dict.fromkeys(_keys(rows))), tuple(rows)


def _keys(rows: list[Row]) -> Iterator[str]:
    for row in rows:
        yield from row.cells


def count_rows(
    some: int, total: int, singular: str = "has", plural: str = "have"
) -> str:
    """Returns "3 of 120 rows have", for the beginning of a message."""
    return f"{some:,} of {total:,} rows {singular if some == 1 else plural}"


def name_lines(numbers: Sequence[int]) -> str:
    """Returns "line 4", or "lines 4, 7" with the first few of many."""
    return f"line{'s' * (len(numbers) > 1)} {first_few(numbers)}"
