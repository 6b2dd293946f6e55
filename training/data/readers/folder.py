"""A person's own images: one folder for each class, on the disk or in an archive.

Either PATH/roses/*.jpg, PATH/tulips/*.jpg ..., which the program splits, or
PATH/train/roses/*.jpg ... with val/, validation/, valid/ or test/ beside train/.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_convnext._data import archives, class_folders
from keras_convnext._data.data_error import DataError, SplitError
from keras_convnext._files import first_few, legible

from ..examples import Files
from ..file_check import check_files, remarks, unreadable
from . import same_images
from .class_files import keep_usable, make_files, split_classes
from .found import Found


def load(
    path: str,
    *,
    validation_share: float,
    seed: int,
    skip_bad_images: bool,
    cache: Path,
    naming: str = "top",
) -> Found[tuple[str, ...], Files]:
    """Lists, checks and splits the images under a path.

    Args:
        path: The folder, an archive of it, or a folder in an archive.
        validation_share: Part of every class that evaluation gets where the folder
            is not split already.
        seed: Of that split.
        skip_bad_images: Leave unreadable images out instead of refusing.
        cache: Folder for copies of what TensorFlow cannot read, and for what was
            found out about files, so that a file is checked once.
        naming: What a class is named by, of `class_folders.NAMINGS`.

    Raises:
        DataError: With all that is wrong.
    """
    root = archives.open_folder(path)
    parts = _parts(root, naming)
    checked = check_files(root, [file for part in parts for file in part.files], cache)
    bad = [image for image in checked.values() if image.problem]
    if bad and not skip_bad_images:
        raise DataError(unreadable(bad, len(checked)))

    usable = [keep_usable(part.by_class, checked) for part in parts]
    why = " that can be read" if bad else ""
    by_root = {part.root: good for part, good in zip(parts, usable, strict=True)}
    _refuse(class_folders.empty_classes(by_root, why))
    if len(parts) == 1:
        usable = list(split_classes(usable[0], validation_share, seed))
    classes = tuple(sorted(usable[0]))
    digests = {file: image.digest for file, image in checked.items()}
    return Found(
        classes,
        make_files(usable[0], classes, checked),
        make_files(usable[1], classes, checked),
        tuple((legible(image.path), image.problem) for image in bad),
        (
            *class_folders.left_over(root),
            *(line for part in parts for line in part.notices()),
            *remarks(checked.values()),
            *same_images.notices(usable[0], usable[1], digests),
        ),
        drawn=len(parts) == 1,
    )


def load_whole(
    path: str, *, part: str, skip_bad_images: bool, cache: Path, naming: str = "top"
) -> Found[tuple[str, ...], Files]:
    """Lists and checks images for evaluation only: none are for training.

    A single class, and a single image of a class, are enough.

    Args:
        path: As in `load`.
        part: "test" for test/ below it, "all" for every part, or for the class folders
            of a folder without parts.
        skip_bad_images: As in `load`.
        cache: As in `load`.
        naming: As in `load`.

    Returns:
        What was found; the training and the evaluation images are the same.

    Raises:
        DataError: With all that is wrong.
    """
    root = archives.open_folder(path)
    parts = [
        class_folders.list_class_folders(found, naming)
        for found in _whole_roots(root, part)
    ]
    files = [file for part in parts for file in part.files]
    if not files:
        raise DataError(f"{root} has no images in class folders.")
    checked = check_files(root, files, cache)
    bad = [image for image in checked.values() if image.problem]
    if bad and not skip_bad_images:
        raise DataError(unreadable(bad, len(checked)))
    by_class: dict[str, tuple[str, ...]] = {}
    for part_found in parts:
        for name, found in keep_usable(part_found.by_class, checked).items():
            by_class[name] = by_class.get(name, ()) + found
    empty = sorted(name for name, found in by_class.items() if not found)
    classes = tuple(sorted(by_class.keys() - set(empty)))
    images = make_files(by_class, classes, checked)
    notices = [line for part_found in parts for line in part_found.notices()]
    if empty:
        notices.append(f"{root}: no images of {first_few(empty)}.")
    return Found(
        classes,
        images,
        images,
        tuple((legible(image.path), image.problem) for image in bad),
        (*notices, *remarks(checked.values())),
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


def _parts(root: Path, naming: str) -> list[class_folders.ClassFolders]:
    """Returns the listed folders: one, or training and evaluation."""
    try:
        roots = class_folders.find_roots(root)
        train, *others = (
            class_folders.list_class_folders(each, naming) for each in roots if each
        )
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error
    kind = SplitError if len(train.by_class) == 1 and not others else DataError
    _refuse(class_folders.problems(train, others[0] if others else None), kind)
    return [train, *others]


def _refuse(found: Sequence[str], kind: type[DataError] = DataError) -> None:
    if found:
        raise kind("\n".join(found))
