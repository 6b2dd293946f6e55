"""A person's own images, listed in a table with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_convnext._data import image_lists
from keras_convnext._data.class_folders import first_few, near_names
from keras_convnext._data.data_error import DataError, SplitError
from keras_convnext._data.image_lists import ListedImage
from keras_convnext._files import legible

from ..examples import Files
from ..file_check import check_files, remarks, unreadable
from . import same_images
from .class_files import ByClass, make_files, split_classes
from .found import Found


def load(
    named: str,
    *,
    validation_share: float,
    seed: int,
    skip_bad_images: bool,
    cache: Path,
    whole: str | None = None,
) -> Found[tuple[str, ...], Files]:
    """Reads, checks and splits the images of a list.

    Args:
        named: The list; `image_lists.read` says what is in it.
        validation_share: Part of every class that validation gets where the list has
            no images for it.
        seed: Of that split.
        skip_bad_images: Leave images out that cannot be used, instead of refusing.
        cache: Folder for copies of what TensorFlow cannot read, and for the results of
            the check.
        whole: "test" or "all": these images alone, for training and validation alike;
            a single class is enough. None looks for both.

    Raises:
        DataError: With all that is wrong.
    """
    listed = image_lists.read(named, skip_missing=skip_bad_images)
    parts = image_lists.divide(listed, whole)
    if whole is None:
        _refuse_classes(listed.file, *parts)
    files = [image.path for part in parts for image in part]
    checked = check_files(listed.file, files, cache)
    bad = [image for image in checked.values() if image.problem]
    if bad and not skip_bad_images:
        raise DataError(unreadable(bad, len(checked)))
    usable = [
        [image for image in part if not checked[image.path].problem] for part in parts
    ]
    if not all(usable):
        raise DataError(f"{listed.file} has no images left that can be read.")
    if bad and whole is None:
        _refuse_classes(listed.file, *usable)
    by_class = [_by_class(part) for part in usable]
    drawn = len(parts) == 1 and whole is None
    if drawn:
        instead = f"give the list a column {image_lists.SPLIT} with train and val in it"
        by_class = [*split_classes(by_class[0], validation_share, seed, instead)]
    classes = tuple(sorted(by_class[0]))
    train, validation = (
        make_files(part, classes, checked) for part in (by_class[0], by_class[-1])
    )
    digests = {file: image.digest for file, image in checked.items()}
    twice = same_images.notices(by_class[0], by_class[-1], digests)
    return Found(
        classes,
        train,
        validation,
        (
            *((legible(path), "does not exist") for path in listed.missing),
            *((legible(image.path), image.problem) for image in bad),
        ),
        (
            *listed.notices,
            *remarks(checked),
            *(twice if whole is None else ()),
        ),
        drawn,
    )


def _by_class(images: Sequence[ListedImage]) -> ByClass:
    found: dict[str, list[Path]] = {}
    for image in images:
        found.setdefault(image.label, []).append(image.path)
    return {name: tuple(files) for name, files in found.items()}


def _refuse_classes(
    file: Path,
    train: Sequence[ListedImage],
    validation: Sequence[ListedImage] | None = None,
) -> None:
    """Makes sure that the classes to train on are those to validate on.

    Raises:
        SplitError: There is one class alone; whole the images can be used.
        DataError: Classes are in the validation images alone.
    """
    classes = sorted({image.label for image in train})
    if len(classes) == 1:
        raise SplitError(
            f"{file} has one class only, {classes[0]!r}; telling images apart needs "
            "two or more."
        )
    unknown = sorted({image.label for image in validation or ()} - set(classes))
    if unknown:
        raise DataError(
            f"{file} has classes in its validation images that its training images "
            f"have not: {first_few(unknown)}.{near_names(unknown, classes)}"
        )
