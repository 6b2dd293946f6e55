"""A person's own pictures: one folder for each class.

Either PATH/roses/*.jpg, PATH/tulips/*.jpg ..., which the program splits, or
PATH/train/roses/*.jpg ... with val/, validation/, valid/ or test/ beside train/.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from .. import pictures
from ..console import held_stderr
from ..data_error import DataError, SplitError
from ..examples import Files
from . import class_folders
from .class_folders import first_few

# Pictures that take longer to check than this get a line that counts them.
_QUIET_SECONDS = 2.0
_ByClass = Mapping[str, tuple[Path, ...]]


@dataclass(frozen=True)
class Folder:
    """What was found under a path.

    Attributes:
        classes: Names of the class folders, sorted.
        train: Training pictures.
        evaluation: Evaluation pictures.
        skipped: Path and reason of each picture left out.
        notices: Remarks worth a line each.
        drawn: Whether the evaluation images were drawn by share and seed.
    """

    classes: tuple[str, ...]
    train: Files
    evaluation: Files
    skipped: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]
    drawn: bool = False


def load(
    path: str,
    *,
    validation_share: float,
    seed: int,
    skip_bad_images: bool,
    copies: Path,
) -> Folder:
    """Lists, checks and splits the pictures under a path.

    Args:
        path: The folder.
        validation_share: Part of every class that evaluation gets where the folder
            is not split already.
        seed: Of that split.
        skip_bad_images: Leave unreadable pictures out instead of refusing.
        copies: Folder for copies of what TensorFlow cannot read; see `pictures`.

    Raises:
        DataError: With all that is wrong.
    """
    root = _existing(path)
    parts = _parts(root)
    checked = _checked([file for part in parts for file in part.files], copies)
    bad = [picture for picture in checked.values() if picture.problem]
    if bad and not skip_bad_images:
        raise DataError(_unreadable(bad, len(checked)))

    usable = [_usable(part.by_class, checked) for part in parts]
    why = " that can be read" if bad else ""
    by_root = {part.root: good for part, good in zip(parts, usable, strict=True)}
    _refuse(class_folders.empty_classes(by_root, why))
    if len(parts) == 1:
        usable = list(split(usable[0], validation_share, seed))
    classes = tuple(sorted(usable[0]))
    return Folder(
        classes,
        _files(usable[0], classes, checked),
        _files(usable[1], classes, checked),
        tuple((str(picture.path), picture.problem) for picture in bad),
        (
            *class_folders.left_over(root),
            *(line for part in parts for line in part.notices()),
            *_black(checked),
        ),
        drawn=len(parts) == 1,
    )


def load_whole(path: str, *, part: str, skip_bad_images: bool, copies: Path) -> Folder:
    """Lists and checks images that are only judged: nothing is held back for training.

    A single class, and a single image of a class, are enough.

    Args:
        path: The folder.
        part: "test" for test/ below it, "all" for every part, or for the class folders
            of a folder without parts.
        skip_bad_images: As in `load`.
        copies: As in `load`.

    Returns:
        What was found; the training and the evaluation images are the same.

    Raises:
        DataError: With all that is wrong.
    """
    root = _existing(path)
    parts = [class_folders.listed(found) for found in _whole_roots(root, part)]
    files = [file for part in parts for file in part.files]
    if not files:
        raise DataError(f"{root} has no images in class folders.")
    checked = _checked(files, copies)
    bad = [picture for picture in checked.values() if picture.problem]
    if bad and not skip_bad_images:
        raise DataError(_unreadable(bad, len(checked)))
    by_class: dict[str, tuple[Path, ...]] = {}
    for part_found in parts:
        for name, found in _usable(part_found.by_class, checked).items():
            by_class[name] = by_class.get(name, ()) + found
    empty = sorted(name for name, found in by_class.items() if not found)
    classes = tuple(sorted(by_class.keys() - set(empty)))
    images = _files(by_class, classes, checked)
    notices = [line for part_found in parts for line in part_found.notices()]
    if empty:
        notices.append(f"{root}: no images of {first_few(empty)}.")
    return Folder(
        classes,
        images,
        images,
        tuple((str(picture.path), picture.problem) for picture in bad),
        (*notices, *_black(checked)),
    )


def _whole_roots(root: Path, part: str) -> list[Path]:
    """Returns the folders of class folders that a part consists of."""
    test = class_folders.part_roots(root, class_folders.TEST_NAMES)
    if part == "test":
        if not test:
            raise DataError(f"{root} has no folder test/ with class folders in it.")
        return test[:1]
    train = class_folders.part_roots(root, class_folders.TRAIN_NAMES)
    validation = class_folders.part_roots(root, class_folders.VALIDATION_NAMES)
    return [*train[:1], *validation[:1], *test[:1]] or [root]


def split(by_class: _ByClass, share: float, seed: int) -> tuple[_ByClass, _ByClass]:
    """Splits each class at random: at least one picture on either side.

    Args:
        by_class: Files of each class, at least two.
        share: What the second part gets of every class.
        seed: The same seed splits the same files in the same way.

    Returns:
        The files of each class for training and for evaluation.

    Raises:
        SplitError: A class has a single picture.
    """
    single = [name for name, files in by_class.items() if len(files) < 2]
    if single:
        raise SplitError(
            f"One picture alone cannot be split into training and evaluation: "
            f"{first_few(single)}. Add pictures, or make train/ and val/ yourself."
        )
    generator = np.random.default_rng(seed)
    kept: dict[str, tuple[Path, ...]] = {}
    held_back: dict[str, tuple[Path, ...]] = {}
    for name, files in sorted(by_class.items()):
        count = min(max(1, round(len(files) * share)), len(files) - 1)
        chosen = set(generator.permutation(len(files))[:count].tolist())
        held_back[name] = tuple(f for i, f in enumerate(files) if i in chosen)
        kept[name] = tuple(f for i, f in enumerate(files) if i not in chosen)
    return kept, held_back


def _existing(path: str) -> Path:
    root = Path(path).expanduser()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"The data folder {root} {what}.")
    return root


def _parts(root: Path) -> list[class_folders.ClassFolders]:
    """Returns the listed folders: one, or training and evaluation."""
    train_root, evaluation_root = class_folders.find_roots(root)
    train = class_folders.listed(train_root)
    if evaluation_root is None:
        kind = SplitError if len(train.by_class) == 1 else DataError
        _refuse(class_folders.problems(train, None), kind)
        return [train]
    evaluation = class_folders.listed(evaluation_root)
    _refuse(class_folders.problems(train, evaluation))
    return [train, evaluation]


def _refuse(found: Sequence[str], kind: type[DataError] = DataError) -> None:
    if found:
        raise kind("\n".join(found))


def _black(checked: Mapping[Path, pictures.Picture]) -> list[str]:
    """Returns a line on pictures that show nothing, which are used all the same."""
    found = [picture.path for picture in checked.values() if picture.is_black]
    if not found:
        return []
    many = f"{len(found)} pictures are" if len(found) > 1 else "One picture is"
    return [f"{many} black throughout, as the file says: {first_few(found)}."]


def _unreadable(bad: Sequence[pictures.Picture], total: int) -> str:
    lines = first_few(
        (f"{picture.path}: {picture.problem}" for picture in bad), separator="\n  "
    )
    return (
        f"{len(bad)} of {total} pictures cannot be used (--skip_bad_images leaves "
        f"them out):\n  {lines}"
    )


def _checked(files: Sequence[Path], copies: Path) -> dict[Path, pictures.Picture]:
    # Decoders print their opinion of a file, without a word on which one they mean.
    with held_stderr() as stderr:
        answers = _counted(pictures.check(files, copies), len(files), stderr)
        return {picture.path: picture for picture in answers}


def _counted(
    answers: Iterable[pictures.Picture], total: int, stderr: TextIO
) -> Iterator[pictures.Picture]:
    """Passes the answers on; where that takes long, a line on stderr counts them."""
    shown_at = time.monotonic() + _QUIET_SECONDS
    shown = False
    for done, answer in enumerate(answers, 1):
        yield answer
        if time.monotonic() > shown_at and stderr.isatty():
            words = f"\rChecking pictures: {done:,} of {total:,}"
            print(words, end="", file=stderr, flush=True)
            shown_at, shown = time.monotonic() + 0.5, True
    if shown:
        print(f"\rChecked {total:,} pictures.{' ' * 20}", file=stderr)


def _usable(by_class: _ByClass, checked: Mapping[Path, pictures.Picture]) -> _ByClass:
    return {
        name: tuple(file for file in files if not checked[file].problem)
        for name, files in by_class.items()
    }


def _files(
    by_class: _ByClass,
    classes: Sequence[str],
    checked: Mapping[Path, pictures.Picture],
) -> Files:
    found = [
        (checked[file], label)
        for label, name in enumerate(classes)
        for file in by_class.get(name, ())
    ]
    return Files(
        tuple(str(picture.readable) for picture, _ in found),
        np.array([label for _, label in found], np.int32),
        np.array([picture.way for picture, _ in found], np.int32),
        tuple(str(picture.path) for picture, _ in found),
    )
