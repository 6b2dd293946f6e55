"""Lists of image files with their labels: what `files:LIST.csv` names.

A row is an image: its path, relative to the list; its label; and, where the list says
so, whether it is for training, validation or test.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_convnext._data import class_folders
from keras_convnext._data.class_folders import first_few
from keras_convnext._data.data_error import DataError, SplitError
from keras_convnext._data.tables import Row, Table, count_rows, name_lines, read_table

# What the columns are called; the preferred name first.
PATHS = ("path", "file", "file_name", "image")
LABEL, SPLIT = "label", "split"
_PART_OF = {
    name: part
    for part, names in (
        ("train", class_folders.TRAIN_NAMES),
        ("validation", class_folders.VALIDATION_NAMES),
        ("test", class_folders.TEST_NAMES),
    )
    for name in names
}


@dataclass(frozen=True)
class ListedImage:
    """An image in a list.

    Attributes:
        path: Where it lies.
        label: Its class.
        part: "train", "validation" or "test"; empty where the list does not say.
        line: Its line in the list.
    """

    path: Path
    label: str
    part: str
    line: int


@dataclass(frozen=True)
class ImageList:
    """The images of a list, each once.

    Attributes:
        file: The list.
        images: In its order.
        missing: Files that do not exist, and are not among `images`.
        notices: Remarks worth a line each.
    """

    file: Path
    images: tuple[ListedImage, ...]
    missing: tuple[Path, ...]
    notices: tuple[str, ...]


def read(named: str, *, skip_missing: bool = False) -> ImageList:
    """Reads a list and checks all of it, without opening any image.

    Args:
        named: The list: a .csv or .jsonl file with the columns path (or file,
            file_name, image) and label, and optionally split.
        skip_missing: Leave files out that do not exist instead of refusing.

    Raises:
        DataError: With all that is wrong, a line each.
    """
    table = read_table(Path(named).expanduser())
    path_column, has_split = _find_columns(table)
    problems: list[str] = []
    images = []
    empty: dict[str, list[int]] = defaultdict(list)
    odd_splits: dict[str, list[int]] = defaultdict(list)
    for row in table.rows:
        place, label = _text(row, path_column), _text(row, LABEL)
        split = _text(row, SPLIT) if has_split else ""
        part = _PART_OF.get(split.lower(), "")
        for column, cell in ((path_column, place), (LABEL, label)):
            if not cell:
                empty[column].append(row.line)
        if has_split and not part:
            odd_splits[split].append(row.line)
        images.append(ListedImage(_path(table.file, place), label, part, row.line))
    total = len(images)
    for column, lines in empty.items():
        problems.append(
            f"{table.file}: {count_rows(len(lines), total)} an empty {column}: "
            f"{name_lines(lines)}."
        )
    if odd_splits:
        count = sum(map(len, odd_splits.values()))
        shown = (f"{name!r} (line {lines[0]})" for name, lines in odd_splits.items())
        problems.append(
            f"{table.file}: {count_rows(count, total)} a split that is none of train, "
            f"validation and test: {first_few(shown)}."
        )
    problems += _unwritable(table.file, images)
    missing = [one for one in images if one.path.name and not one.path.is_file()]
    if missing and not skip_missing:
        shown = (f"{one.path} (line {one.line})" for one in missing)
        problems.append(
            f"{table.file}: {len(missing):,} of {total:,} files do not exist "
            f"(--skip_bad_images leaves them out): {first_few(shown)}."
        )
    once, notices = _fold_repeated(table.file, images, problems)
    if problems:
        raise DataError("\n".join(problems))
    gone = {one.path for one in missing}
    return ImageList(
        table.file,
        tuple(one for one in once if one.path not in gone),
        tuple(dict.fromkeys(one.path for one in missing)),
        (*table.notices, *notices),
    )


def divide(
    listed: ImageList, whole: str | None = None
) -> tuple[tuple[ListedImage, ...], ...]:
    """Returns the images to train and to validate on, or all that are to be divided.

    Args:
        listed: From `read`.
        whole: "test" or "all" for these images alone; None for what training needs.

    Returns:
        Two parts where the list has them; the second is its test images where none are
        for validation. One part otherwise.

    Raises:
        SplitError: None are for training.
        DataError: There are none of `whole`, or none at all.
    """
    of_part = {
        part: tuple(one for one in listed.images if one.part == part)
        for part in ("train", "validation", "test")
    }
    if not listed.images:
        raise DataError(f"{listed.file} names no image that exists.")
    if whole == "test":
        if not of_part["test"]:
            raise DataError(f"{listed.file} has no rows whose {SPLIT} is test.")
        return (of_part["test"],)
    if whole == "all" or not any(of_part.values()):
        return (listed.images,)
    if not of_part["train"]:
        raise SplitError(f"{listed.file} has no rows whose {SPLIT} is train.")
    validation = of_part["validation"] or of_part["test"]
    return (of_part["train"], validation) if validation else (of_part["train"],)


def _find_columns(table: Table) -> tuple[str, bool]:
    """Returns the name of the column of paths, and whether there is one of splits.

    Raises:
        DataError: Columns are missing.
    """
    paths = [name for name in PATHS if name in table.columns]
    missing = [] if paths else [f"{PATHS[0]} (or {', '.join(PATHS[1:])})"]
    missing += [] if LABEL in table.columns else [LABEL]
    if missing:
        raise DataError(
            f"{table.file} has no column {' and no column '.join(missing)}; it has "
            f"{first_few(map(repr, table.columns))}. The first line names the columns."
        )
    return paths[0], SPLIT in table.columns


def _text(row: Row, column: str) -> str:
    value: Any = row.cells.get(column)
    text = "" if value is None else str(value)
    return (
        unicodedata.normalize("NFC", text.strip()) if column == LABEL else text.strip()
    )


def _path(file: Path, cell: str) -> Path:
    path = file.parent / Path(cell).expanduser()
    if "\\" in cell and not path.exists():
        # As Windows writes them.
        path = file.parent / cell.replace("\\", "/")
    return Path(os.path.normpath(path)) if cell else Path()


def _unwritable(file: Path, images: Sequence[ListedImage]) -> list[str]:
    """Returns a line on labels that cannot be written into labels.txt."""
    bad = [o for o in images if o.label and not class_folders.is_label(o.label)]
    if not bad:
        return []
    shown = (f"{one.label!r} (line {one.line})" for one in bad)
    return [
        f"{file}: {count_rows(len(bad), len(images))} a label with several lines: "
        f"{first_few(shown)}."
    ]


def _fold_repeated(
    file: Path, images: Iterable[ListedImage], problems: list[str]
) -> tuple[list[ListedImage], list[str]]:
    """Returns each image once, and a notice; adds what rows contradict each other."""
    rows: dict[Path, list[ListedImage]] = defaultdict(list)
    for one in images:
        if one.path.name:
            rows[one.path].append(one)
    repeated, contradictory = [], []
    for path, same in rows.items():
        first = same[0]
        other = next(
            (o for o in same if (o.label, o.part) != (first.label, first.part)), None
        )
        if other is not None:
            said = (f"{o.label} {o.part} in line {o.line}" for o in (first, other))
            contradictory.append(f"{path} ({', '.join(said)})".replace("  ", " "))
        elif len(same) > 1:
            repeated.append(f"{path} ({name_lines([one.line for one in same])})")
    if contradictory:
        problems.append(
            f"{file}: {len(contradictory):,} of {len(rows):,} files have rows that "
            f"contradict each other: {first_few(contradictory)}."
        )
    notices = []
    if repeated:
        often = "listed more than once, alike, and"
        words = f"is {often} counts once", f"are {often} count once"
        notices.append(class_folders.remark(repeated, *words))
    return [same[0] for same in rows.values()], notices
