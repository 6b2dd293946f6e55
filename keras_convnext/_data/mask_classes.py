"""What the numbers in masks mean: classes by name, or pixels that do not count."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from keras_convnext._data.data_error import DataError
from keras_convnext._files import first_few

CLASSES_FILE = "classes.txt"
# A line of classes.txt that is no class.
IGNORED_LINE = "(ignored)"
# What ADE20K's scene parsing benchmark has beside its folders.
_ADE20K_FILES = ("objectInfo150.txt", "objectInfo150.csv")
_ADE20K_PREFIX = "ADE_"
# The largest numbers of 8 and of 16 bits mean no class.
_MOST_8_BITS, _MOST_16_BITS = 255, 65535
_UNKNOWN = -1


@dataclass(frozen=True)
class MaskClasses:
    """The meaning of the numbers in masks.

    Attributes:
        lines: The name of each number from 0 on; `IGNORED_LINE` for no class.

    Example:
        >>> classes = MaskClasses(("(ignored)", "wall", "sky"))
        >>> classes.names, classes.labels[:4].tolist(), classes.ignored
        (('wall', 'sky'), [255, 0, 1, -1], 255)
    """

    lines: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""
        return tuple(line for line in self.lines if line != IGNORED_LINE)

    @property
    def ignored(self) -> int:
        """The label of pixels that do not count."""
        return ignored_label(len(self.names))

    @cached_property
    def labels(self) -> np.ndarray:
        """The label of each number, int32 `(65536,)`; -1 where it has no meaning."""
        labels = np.full(_MOST_16_BITS + 1, _UNKNOWN, np.int32)
        labels[_MOST_16_BITS] = self.ignored
        if len(self.lines) <= _MOST_8_BITS:
            labels[_MOST_8_BITS] = self.ignored
        label = 0
        for number, line in enumerate(self.lines):
            labels[number] = self.ignored if line == IGNORED_LINE else label
            label += line != IGNORED_LINE
        return labels

    @property
    def is_identity(self) -> bool:
        """Whether the 8 bits of a mask are the labels already."""
        numbers = np.arange(_MOST_8_BITS + 1)
        labels = self.labels[numbers]
        return bool(np.all((labels == numbers) | (labels == _UNKNOWN)))


def ignored_label(classes: int) -> int:
    """Returns the label of pixels that do not count: 255, or 65535 of many classes."""
    return _MOST_8_BITS if classes <= _MOST_8_BITS else _MOST_16_BITS


def reduce_zero(classes: MaskClasses) -> MaskClasses:
    """Returns the meaning where 0 is ignored and the names begin with number 1."""
    if classes.lines[0] == IGNORED_LINE:
        return classes
    return MaskClasses((IGNORED_LINE, *classes.lines))


def read_classes(root: Path) -> MaskClasses | None:
    """Returns what a data set says of its numbers; None where it says nothing.

    ADE20K's tree needs no classes.txt: its PNG files hold 0 for everything else and 1
    to 150 for the classes.

    Args:
        root: The folder of images/ and annotations/.

    Raises:
        DataError: classes.txt does not name two classes or more, each once.
    """
    file = root / CLASSES_FILE
    if file.is_file():
        return parse_classes(file)
    if _is_ade20k(root):
        return ade20k()
    return None


def ade20k() -> MaskClasses:
    """Returns the meaning of the numbers in ADE20K's masks."""
    from keras_convnext.segmentation.palette import ade20k_classes

    return MaskClasses((IGNORED_LINE, *ade20k_classes()))


def _is_ade20k(root: Path) -> bool:
    if any((root / name).is_file() for name in _ADE20K_FILES):
        return True
    masks = (root / "annotations").glob(f"*/{_ADE20K_PREFIX}*_*.png")
    return next(masks, None) is not None


def parse_classes(file: Path) -> MaskClasses:
    """Reads classes.txt: a name a line, the first one for number 0.

    Raises:
        DataError: It does not name two classes or more, each once.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text; save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    lines = [
        unicodedata.normalize("NFC", line.strip())
        for line in text.rstrip().splitlines()
    ]
    classes = MaskClasses(tuple(lines))
    empty = [str(number) for number, line in enumerate(lines, 1) if not line]
    if empty:
        raise DataError(
            f"{file}: line {first_few(empty)} is empty; each line names a number of "
            f"the masks from 0 on, or is {IGNORED_LINE}."
        )
    twice = [name for name, count in Counter(classes.names).items() if count > 1]
    if twice:
        raise DataError(f"{file} names a class twice: {first_few(twice)}.")
    if len(classes.names) < 2:
        raise DataError(
            f"{file} names {len(classes.names)} classes; telling pixels apart needs "
            "two or more. The first line is for number 0, such as background."
        )
    if len(lines) > _MOST_16_BITS:
        raise DataError(f"{file} has {len(lines):,} lines; masks hold up to 65,535.")
    return classes


def missing_classes(root: Path, numbers: np.ndarray) -> str:
    """Returns what to say of a data set that does not say what its numbers mean.

    Args:
        root: The data set.
        numbers: Those that occur in its masks, rising.
    """
    return (
        f"{root} has no {CLASSES_FILE}, which names the classes: a name a line, the "
        f"first one for number 0, {IGNORED_LINE} for a number that does not count; "
        f"255 never does. Its masks hold {first_few(numbers.tolist())}."
    )
