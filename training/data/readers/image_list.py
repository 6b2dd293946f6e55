"""A person's own images, listed in a table with their labels or numbers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keras_convnext._data import image_lists
from keras_convnext._data.class_folders import near_names
from keras_convnext._data.data_error import DataError, SplitError
from keras_convnext._data.draw_split import draw_split
from keras_convnext._data.image_lists import ListedImage
from keras_convnext._data.list_targets import SEPARATOR
from keras_convnext._files import first_few, legible

from ..examples import Files
from ..file_check import check_files, remarks, unreadable
from ..image_files import CheckedImage
from . import same_images
from .class_files import ByClass, make_files, split_classes
from .found import Found

_INSTEAD = f"give the list a column {image_lists.SPLIT} with train and val in it"
_Part = Sequence[ListedImage]
_Checked = Mapping[Path, CheckedImage]


def load(
    named: str,
    *,
    validation_share: float,
    seed: int,
    skip_bad_images: bool,
    cache: Path,
    whole: str | None = None,
    target: str = "label",
) -> Found[tuple[str, ...], Files]:
    """Reads, checks and splits the images of a list.

    Args:
        named: The list; `image_lists.read` says what is in it.
        validation_share: Part of every class, of every label or of all images that
            validation gets where the list has no images for it.
        seed: Of that split.
        skip_bad_images: Leave images out that cannot be used, instead of refusing.
        cache: Folder for copies of what TensorFlow cannot read, and for the results of
            the check.
        whole: "test" or "all": these images alone, for training and validation alike;
            a single class is enough. None looks for both.
        target: What the labels are, one of `list_targets.TARGETS`.

    Returns:
        What was found. The labels of the examples are int32 class numbers `(count,)`,
        float32 0 and 1 `(count, labels)`, or float32 numbers `(count,)`.

    Raises:
        DataError: With all that is wrong.
    """
    kind = _KINDS[target]
    listed = image_lists.read(named, target=target, skip_missing=skip_bad_images)
    parts = image_lists.divide(listed, whole)
    if whole is None:
        kind.refuse(listed.file, *parts)
    files = [image.path for part in parts for image in part]
    checked = check_files(listed.file, files, cache)
    bad = [image for image in checked.values() if image.problem]
    if bad and not skip_bad_images:
        raise DataError(unreadable(bad, len(checked)))
    usable: list[_Part] = [
        [image for image in part if not checked[image.path].problem] for part in parts
    ]
    if not all(usable):
        raise DataError(f"{listed.file} has no images left that can be read.")
    drawn = len(parts) == 1 and whole is None
    if drawn:
        usable = [*kind.split(usable[0], validation_share, seed)]
    if whole is None:
        kind.refuse(listed.file, *usable)
    classes = kind.find_classes(listed, usable[0])
    train, validation = (
        kind.make_examples(part, classes, checked) for part in (usable[0], usable[-1])
    )
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
            *remarks(checked.values()),
            *(kind.notices(usable[0], usable[-1], checked) if whole is None else ()),
        ),
        drawn,
    )


class _Refuse(Protocol):
    def __call__(
        self, file: Path, train: _Part, validation: _Part | None = None
    ) -> None: ...


class _Notices(Protocol):
    def __call__(
        self, train: _Part, validation: _Part, checked: _Checked
    ) -> list[str]: ...


class _Split(Protocol):
    def __call__(
        self, images: _Part, share: float, seed: int
    ) -> tuple[_Part, _Part]: ...


@dataclass(frozen=True)
class _Kind:
    """What differs between classes, labels and numbers."""

    refuse: _Refuse
    split: _Split
    notices: _Notices
    find_classes: Any
    make_examples: Any


def _by_class(images: _Part) -> ByClass[Path]:
    found: dict[str, list[Path]] = {}
    for image in images:
        found.setdefault(image.label, []).append(image.path)
    return {name: tuple(files) for name, files in found.items()}


def _split_classes(images: _Part, share: float, seed: int) -> tuple[_Part, _Part]:
    _, validation = split_classes(_by_class(images), share, seed, _INSTEAD)
    kept = {path for files in validation.values() for path in files}
    return (
        [image for image in images if image.path not in kept],
        [image for image in images if image.path in kept],
    )


def _split_labels(images: _Part, share: float, seed: int) -> tuple[_Part, _Part]:
    """Splits label by label, the rarest first, so that both parts have each.

    Source: Sechidis et al., "On the Stratification of Multi-Label Data" (2011), whose
    order of the labels it has.
    """
    counts = Counter(label for image in images for label in image.label)
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        raise SplitError(
            f"One image alone cannot be split into training and evaluation: "
            f"{first_few(single)}. Add images, or {_INSTEAD}."
        )
    generator = np.random.default_rng(seed)
    rarest = sorted(counts, key=lambda label: (counts[label], label))
    rest = list(range(len(images)))
    kept: set[int] = set()
    for label in (*rarest, None):
        some = [i for i in rest if label is None or label in images[i].label]
        rest = [i for i in rest if label is not None and label not in images[i].label]
        kept |= {*draw_split(some, share, generator)[1]}
    return (
        [image for i, image in enumerate(images) if i not in kept],
        [image for i, image in enumerate(images) if i in kept],
    )


def _split_numbers(images: _Part, share: float, seed: int) -> tuple[_Part, _Part]:
    if len(images) < 2:
        raise SplitError(f"One image alone cannot be split. Add images, or {_INSTEAD}.")
    return draw_split(images, share, seed)


def _refuse_classes(file: Path, train: _Part, validation: _Part | None = None) -> None:
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
    _refuse_unknown(file, set(classes), {image.label for image in validation or ()})


def _refuse_labels(file: Path, train: _Part, validation: _Part | None = None) -> None:
    known = {label for image in train for label in image.label}
    if not known:
        raise DataError(f"{file}: no training image has a label.")
    found = {label for image in validation or () for label in image.label}
    _refuse_unknown(file, known, found)


def _refuse_unknown(file: Path, known: set[str], found: set[str]) -> None:
    if unknown := sorted(found - known):
        raise DataError(
            f"{file} has classes in its validation images that its training images "
            f"have not: {first_few(unknown)}.{near_names(unknown, sorted(known))}"
        )


def _refuse_numbers(file: Path, train: _Part, validation: _Part | None = None) -> None:
    del validation
    if len({image.label for image in train}) == 1:
        raise SplitError(
            f"{file} has the number {train[0].label:g} for every training image: "
            "there is nothing to learn."
        )


def _class_notices(train: _Part, validation: _Part, checked: _Checked) -> list[str]:
    digests = {file: image.digest for file, image in checked.items()}
    found = same_images.notices(_by_class(train), _by_class(validation), digests)
    several = sorted({i.label for i in train if SEPARATOR in i.label})
    if several:
        found.append(
            f"labels with {SEPARATOR} in them count as one class each: "
            f"{first_few(several)}; --set target=labels makes several labels of them."
        )
    return found


def _file_notices(train: _Part, validation: _Part, checked: _Checked) -> list[str]:
    seen = [[checked[image.path] for image in part] for part in (train, validation)]
    return same_images.in_both(*seen)


def _label_notices(train: _Part, validation: _Part, checked: _Checked) -> list[str]:
    known = {label for image in train for label in image.label}
    absent = sorted(known - {label for image in validation for label in image.label})
    found = _file_notices(train, validation, checked)
    if absent:
        found.append(
            f"no validation image has {first_few(absent)}, which the figures leave out."
        )
    return found


def _make_classes(part: _Part, classes: tuple[str, ...], checked: _Checked) -> Files:
    return make_files(_by_class(part), classes, checked)


def _make_labels(part: _Part, classes: tuple[str, ...], checked: _Checked) -> Files:
    rows = [[name in image.label for name in classes] for image in part]
    return _make_files(part, np.array(rows, np.float32), checked)


def _make_numbers(part: _Part, classes: tuple[str, ...], checked: _Checked) -> Files:
    del classes
    numbers = np.array([image.label for image in part], np.float32)
    return _make_files(part, numbers, checked)


def _make_files(part: _Part, labels: np.ndarray, checked: _Checked) -> Files:
    images = [checked[image.path] for image in part]
    return Files(
        tuple(os.fsencode(image.readable) for image in images),
        labels,
        np.array([image.way for image in images], np.int32),
        tuple(legible(image.path) for image in images),
    )


_KINDS = {
    "label": _Kind(
        _refuse_classes,
        _split_classes,
        _class_notices,
        lambda listed, train: tuple(sorted({image.label for image in train})),
        _make_classes,
    ),
    "labels": _Kind(
        _refuse_labels,
        _split_labels,
        _label_notices,
        lambda listed, train: (
            listed.classes
            or tuple(sorted({label for image in train for label in image.label}))
        ),
        _make_labels,
    ),
    "number": _Kind(
        _refuse_numbers,
        _split_numbers,
        _file_notices,
        lambda listed, train: (),
        _make_numbers,
    ),
}
