"""YOLO's annotations: a text file for each image, a line for each object."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from keras_convnext._data.data_error import DataError
from keras_convnext._files import first_few

from .annotated import (
    PARTS,
    AnnotatedBox,
    AnnotatedImage,
    BadFile,
    Converted,
    existing_folder,
    images_by_stem,
    only_image,
    size_of,
)

_NAMES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names", "coco.names")
_IMAGES, _LABELS = "images", "labels"
_MOST_BYTES = 10_000_000
# Shares are written with few digits, and may end a little outside.
_ROUNDING = 0.01


def read(path: str) -> Converted:
    """Reads a folder.

    Images are parted by the folders train, val or valid, and test on their way. An
    image without a text file has no objects.

    Args:
        path: Below it, the labels of images/.../NAME.jpg are in labels/.../NAME.txt, or
            text files lie beside images. data.yaml or classes.txt name the classes.

    Raises:
        DataError: There are no images, or the classes have no names.
    """
    root = existing_folder(path)
    classes = _classes(root)
    found = Converted(root, classes)
    used: set[Path] = set()
    for stem, files in sorted(images_by_stem(root).items()):
        *folders, name = stem.split("/")
        part = next((PARTS[word] for word in folders if word in PARTS), "")
        labels = root.joinpath(*_as_labels(folders), f"{name}.txt")
        used.add(labels)
        found.add(part, labels, partial(_image, files, labels, classes))
    if not used:
        raise DataError(f"{root} has no images.")
    if not any(file.is_file() for file in used):
        raise DataError(f"{root} has no text files of the images' names in {_LABELS}/.")
    for file in sorted(root.rglob(f"{_LABELS}/**/*.txt")):
        if file not in used and file.name not in _NAMES:
            found.bad[file] = "there is no image of that name"
    return found


def _as_labels(folders: list[str]) -> list[str]:
    """Returns where the labels of a folder of images lie."""
    if _IMAGES not in folders:
        return folders
    last = len(folders) - 1 - folders[::-1].index(_IMAGES)
    return [*folders[:last], _LABELS, *folders[last + 1 :]]


def _classes(root: Path) -> tuple[str, ...]:
    files = [root / name for name in _NAMES if (root / name).is_file()]
    if not files:
        raise DataError(f"{root} has none of {first_few(_NAMES)} to name the classes.")
    try:
        text = files[0].read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{files[0]} cannot be read: {error}.") from error
    is_yaml = files[0].suffix == ".yaml"
    names = _names_of_yaml(text) if is_yaml else text.split("\n")
    names = [name.strip().strip("'\"") for name in names if name.strip()]
    if not names or len(set(names)) < len(names):
        raise DataError(f"{files[0]} names no classes, or one of them twice.")
    return tuple(names)


def _names_of_yaml(text: str) -> list[str]:
    """Returns what stands under `names:`, a list or numbers with names."""
    inline = re.search(r"^names\s*:\s*[\[{](.*?)[\]}]", text, re.MULTILINE | re.DOTALL)
    if inline is not None:
        return [re.sub(r"^\s*\d+\s*:", "", one) for one in inline[1].split(",")]
    below = re.search(r"^names\s*:[ \t]*\n(.*)", text, re.MULTILINE | re.DOTALL)
    if below is None:
        return []
    entries = itertools.takewhile(
        lambda line: re.match(r"\s*-\s|\s+\d+\s*:", line), below[1].splitlines()
    )
    return [re.sub(r"^\s*(-|\d+\s*:)\s*", "", entry) for entry in entries]


def _image(
    named: Sequence[Path], file: Path, classes: tuple[str, ...]
) -> AnnotatedImage:
    image = only_image(named)
    height, width = size_of(image)
    if not file.is_file():
        return AnnotatedImage(image, height, width, ())
    if file.stat().st_size > _MOST_BYTES:
        raise BadFile("is too large for the labels of an image")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    boxes = tuple(
        _box(number, line.split(), classes, height, width)
        for number, line in enumerate(lines, 1)
        if line.strip()
    )
    return AnnotatedImage(image, height, width, boxes)


def _box(
    line: int, words: list[str], classes: tuple[str, ...], height: int, width: int
) -> AnnotatedBox:
    try:
        label, *values = int(words[0]), *map(float, words[1:])
    except ValueError as error:
        raise BadFile(f"line {line} is no class number and shares") from error
    if not 0 <= label < len(classes):
        last = len(classes) - 1
        raise BadFile(f"line {line} has class {label}, and the last one is {last}")
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise BadFile(
            f"line {line} has {len(values)} numbers after the class, not center, width "
            "and height or three and more points"
        )
    shares = all(-_ROUNDING <= value <= 1 + _ROUNDING for value in values)
    if not shares or any(map(math.isnan, values)):
        raise BadFile(f"line {line} has numbers that are no shares from 0 to 1")
    if len(values) == 4:
        x, y, wide, high = values
        if wide <= 0 or high <= 0:
            raise BadFile(f"line {line} has a box without area")
        box = ((x - wide / 2) * width, (y - high / 2) * height)
        return AnnotatedBox(classes[label], (*box, wide * width, high * height))
    xs = [min(max(x, 0.0), 1.0) * width for x in values[::2]]
    ys = [min(max(y, 0.0), 1.0) * height for y in values[1::2]]
    box = (min(xs), min(ys))
    sides = (max(xs) - box[0], max(ys) - box[1])
    polygon = tuple(itertools.chain.from_iterable(zip(xs, ys, strict=True)))
    return AnnotatedBox(classes[label], (*box, *sides), polygon)
