"""The files beside a model: the names of its classes, and how it sees an image."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_convnext._text_files import decode_text
from keras_convnext.preprocessing import IMAGENET, WHOLE_IMAGE, Preprocessing

LABELS = "labels.txt"
PREPROCESSING = "preprocessing.json"
MANIFEST = "export.json"
# Of labels that do not exclude each other: from which probability on each applies.
THRESHOLDS = "thresholds.json"
USUAL_THRESHOLD = 0.5
RECIPE = "recipe.json"


def sidecar_folders(path: Path) -> Iterator[Path]:
    """Yields where the files beside a model may lie, the nearest first.

    Args:
        path: The model's file, or a SavedModel's folder.
    """
    if path.is_dir():
        # <export>/saved_model/<version>/assets
        yield path / "assets"
        yield path.parent.parent
    yield path.parent


def find_labels(
    path: Path, outputs: int | None, *, is_binary: bool = True
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the class names of a model, and what there is to say about them.

    Args:
        path: The model's file, or a SavedModel's folder.
        outputs: How many outputs it has. None where it does not show; then any number
            fits.
        is_binary: Whether a model with one output tells two classes apart: it has two
            names, the second of which its output is the probability of, or that one
            alone.

    Returns:
        The names, by number where there is no labels.txt; and notices, a line each.

    Raises:
        ValueError: The file cannot be read, or does not fit the model.
    """
    found = _read_labels(path)
    if found is None and outputs is None:
        raise ValueError(f"there is no {LABELS} beside {path}, which names its classes")
    fitting = (1, 2) if outputs == 1 and is_binary else (outputs,)
    if found is None:
        classes = fitting[-1] or 0
        notice = (
            f"no {LABELS} beside {path}: the classes are called class 0 to "
            f"class {classes - 1}"
        )
        return tuple(f"class {number}" for number in range(classes)), (notice,)
    place, contents = found
    text = decode_text(contents, place)
    if outputs is not None and len(text.lines) not in fitting:
        raise ValueError(
            f"{place} has {len(text.lines)} lines, but the model has {outputs} "
            f"output{'s' * (outputs != 1)}: give {' or '.join(map(str, fitting))} "
            f"line{'s' * (fitting != (1,))}, a class name each"
        )
    return text.lines, (text.notice,) if text.notice else ()


def _read_labels(path: Path) -> tuple[str, bytes] | None:
    """Returns the place of the names, in the file or beside it, and its bytes."""
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if LABELS in archive.namelist():
                return f"{path}/{LABELS}", archive.read(LABELS)
    for folder in sidecar_folders(path):
        if (folder / LABELS).is_file():
            return str(folder / LABELS), (folder / LABELS).read_bytes()
    return None


def find_thresholds(path: Path, labels: Sequence[str]) -> tuple[float, ...]:
    """Returns above which probability each label applies; none where no file says it.

    Args:
        path: The model's file, or a SavedModel's folder.
        labels: Of the model.

    Raises:
        ValueError: The file cannot be read, or is of other labels.
    """
    for folder in sidecar_folders(path):
        file = folder / THRESHOLDS
        if not file.is_file():
            continue
        found = _read_object(file, "does not hold thresholds")
        if set(found) != set(labels) or not all(map(_is_number, found.values())):
            raise ValueError(
                f"{file} must have a number for each of the model's {len(labels)} "
                "labels, and nothing else"
            )
        return tuple(float(found[label]) for label in labels)
    return ()


def find_record(path: Path, key: str) -> tuple[Path, Any] | None:
    """Returns an export manifest's entries for a model, and the manifest's path.

    Args:
        path: The model's file, or a SavedModel's folder.
        key: One of the manifest's.

    Raises:
        ValueError: The manifest cannot be read.
    """
    for folder in sidecar_folders(path):
        if (folder / MANIFEST).is_file():
            found = _read_object(folder / MANIFEST).get(key)
            if found is not None:
                return folder / MANIFEST, found
    return None


def find_preprocessing(
    path: Path, size_px: int | None, *, needs_normalization: bool = False
) -> Preprocessing | None:
    """Returns how a model sees an image as files beside it say; None if none does.

    Args:
        path: The model's file, or a SavedModel's folder.
        size_px: Side of the model's input; None for any.
        needs_normalization: Whether mean and deviation are needed, too.

    Raises:
        ValueError: The file cannot be read, or does not fit the model.
    """
    for folder in sidecar_folders(path):
        if (folder / PREPROCESSING).is_file():
            file = folder / PREPROCESSING
            return parse_preprocessing(
                _read_object(file), file, size_px, needs_normalization
            )
    found = find_record(path, "preprocessing")
    if found is None:
        return None
    return parse_preprocessing(found[1], found[0], size_px, needs_normalization)


def read_task(path: Path) -> str:
    """Returns what the run that left a model was for; empty where no file says so.

    Args:
        path: The model's file.
    """
    try:
        record = json.loads((path.parent / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(record.get("task", "")) if isinstance(record, dict) else ""


def read_preprocessing(file: Path) -> Preprocessing:
    """Reads a preprocessing.json.

    Raises:
        ValueError: It cannot be read.
    """
    return parse_preprocessing(_read_object(file), file)


def parse_preprocessing(
    record: dict[str, Any],
    file: Path,
    size_px: int | None = None,
    needs_normalization: bool = False,
) -> Preprocessing:
    """Returns the preprocessing that a JSON object describes.

    Args:
        record: The object; what it leaves out is as in `Preprocessing`, and the size
            that of the model.
        file: Where it stands, for messages.
        size_px: Side of the model's input; None for any.
        needs_normalization: Whether mean and std may not be left out.

    Raises:
        ValueError: It describes none, or another size.
    """
    given = {"size_px": size_px or IMAGENET.size_px, **record}
    problems = [
        f"{name} is {given[name]!r}, not {_KINDS[name][0]}"
        if name in _KINDS
        else f"there is no {name}, only {', '.join(_KINDS)}"
        for name in given
        if name not in _KINDS or not _KINDS[name][1](given[name])
    ]
    if needs_normalization and not {"mean", "std"} <= set(given):
        problems.append(
            "mean and std are missing, and the model does not normalize by itself"
        )
    if problems:
        raise ValueError(_describes_none(file, "; ".join(problems)))
    for name in {"mean", "std"} & set(given):
        given[name] = tuple(given[name])
    if mode := given.pop("resize", None):
        given = {**_GEOMETRY_OF[mode], **given}
    try:
        preprocessing = Preprocessing(**given)
    except ValueError as error:
        raise ValueError(_describes_none(file, str(error))) from error
    if size_px not in (None, preprocessing.size_px):
        raise ValueError(
            f"{file} says {preprocessing.size_px} px, but the model takes {size_px} px"
        )
    return preprocessing


def _read_object(file: Path, problem: str = "does not describe a preprocessing") -> Any:
    try:
        record = json.loads(decode_text(file.read_bytes(), str(file)).text)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} {problem}: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"{file} {problem}: it is no JSON object")
    return record


def _describes_none(file: Path, reason: str) -> str:
    return f"{file} does not describe a preprocessing: {reason}"


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


# What each field has to be in JSON, in words and as a test.
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "size_px": ("a whole number", lambda value: type(value) is int),
    "mean": ("a list of numbers", _is_list),
    "std": ("a list of numbers", _is_list),
    "crop_fraction": ("a number", _is_number),
    "crop_mode": ("a word", lambda value: isinstance(value, str)),
    "interpolation": ("a word", lambda value: isinstance(value, str)),
    "antialias": ("true or false", lambda value: isinstance(value, bool)),
    "resize": ("keep_ratio", lambda value: value in _GEOMETRY_OF),
}
# What the word "resize" stands for, in files of segmentation.
_GEOMETRY_OF: dict[Any, dict[str, Any]] = {
    WHOLE_IMAGE.crop_mode: {
        "crop_mode": WHOLE_IMAGE.crop_mode,
        "crop_fraction": WHOLE_IMAGE.crop_fraction,
        "interpolation": WHOLE_IMAGE.interpolation,
        "antialias": WHOLE_IMAGE.antialias,
    }
}
