"""Lists of image files with their labels: what `files:LIST.csv` names.

A row is an image: its path, relative to the list; its label; and, where the list says
so, whether it is for training, validation or test.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_convnext._data import archives, class_folders
from keras_convnext._data.data_error import DataError, SplitError
from keras_convnext._data.list_targets import SEPARATOR, BadCell, find_target
from keras_convnext._data.tables import (
    Row,
    Table,
    count_rows,
    name_lines,
    read_table,
)
from keras_convnext._files import first_few

# What the column of paths is called; the preferred name first.
PATHS = ("path", "file", "file_name", "image")
SPLIT = "split"
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
        label: The name of its class, a tuple of the names of its labels, or a number.
        part: "train", "validation" or "test"; empty where the list does not say.
        line: Its line in the list.
    """

    path: Path
    label: Any
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
        classes: Labels that are columns, in their order; None for others.
    """

    file: Path
    images: tuple[ListedImage, ...]
    missing: tuple[Path, ...]
    notices: tuple[str, ...]
    classes: tuple[str, ...] | None = None


def read(
    named: str, *, target: str | None = "label", skip_missing: bool = False
) -> ImageList:
    """Reads a list and checks all of it, without opening any image.

    Args:
        named: The list: a .csv or .jsonl file with the columns path (or file,
            file_name, image) and label, and optionally split.
        target: What the labels are, one of `list_targets.TARGETS`: a class each;
            several labels, divided by semicolons, as a list, or as columns of 0 and 1;
            or a number. None for images whose labels do not matter.
        skip_missing: Leave files out that do not exist instead of refusing.

    Raises:
        DataError: With all that is wrong, a line each.
    """
    table = read_table(Path(named).expanduser())
    path_column, has_split = _find_columns(table)
    found = find_target(table, target, (*PATHS, SPLIT))
    total = len(table.rows)
    bad: dict[str, list[tuple[str, int]]] = defaultdict(list)
    images = []
    for row in table.rows:
        place, split = _text(row, path_column), _text(row, SPLIT)
        part = _PART_OF.get(split.lower(), "") if has_split else ""
        label = None
        try:
            label = found.read(row)
        except BadCell as cell:
            bad[cell.what].append((cell.shown, row.line))
        if not place:
            bad[f"an empty {path_column}"].append(("", row.line))
        if has_split and not part:
            what = "a split that is none of train, validation and test"
            bad[what].append((repr(split), row.line))
        images.append(ListedImage(_path(table.file, place), label, part, row.line))
    problems = [
        f"{table.file}: {count_rows(len(cells), total)} {what}: {_show(cells)}."
        for what, cells in bad.items()
    ]
    missing = [
        one for one in images if one.path.name and not archives.is_file(one.path)
    ]
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
        found.classes,
    )


def _show(cells: list[tuple[str, int]]) -> str:
    if not any(shown for shown, _ in cells):
        return name_lines([line for _, line in cells])
    return first_few(f"{shown} (line {line})" for shown, line in cells)


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
        DataError: No column has the paths.
    """
    paths = [name for name in PATHS if name in table.columns]
    if not paths:
        raise DataError(
            f"{table.file} has no column {PATHS[0]} (or {', '.join(PATHS[1:])}); it "
            f"has {first_few(map(repr, table.columns))}. The first line names the "
            "columns."
        )
    return paths[0], SPLIT in table.columns


def _text(row: Row, column: str) -> str:
    value: Any = row.cells.get(column)
    return "" if value is None else str(value).strip()


def _path(file: Path, cell: str) -> Path:
    path = file.parent / Path(cell).expanduser()
    if "\\" in cell and not path.exists():
        # As Windows writes them.
        path = file.parent / cell.replace("\\", "/")
    return Path(os.path.normpath(path)) if cell else Path()


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
            said = (_in_words(one) for one in (first, other))
            contradictory.append(f"{path} ({', '.join(said)})")
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


def _in_words(one: ListedImage) -> str:
    """Returns what a row says of its image."""
    labels = one.label if isinstance(one.label, tuple) else (one.label,)
    words = SEPARATOR.join(map(str, labels)) or "no label"
    return " ".join(filter(None, [words, one.part, "in line", str(one.line)]))
