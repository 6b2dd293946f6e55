"""Image files that a data set holds more than once, whatever they are called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from keras_convnext._data.class_folders import remark
from keras_convnext._files import AnyPath

from ..image_files import CheckedImage

_IN_BOTH = (
    "in both the training and the validation set (duplicates), so that the validation "
    "figures are too good"
)


class _Place(NamedTuple):
    is_validation: bool
    label: str
    file: str


def notices(
    train: Mapping[str, tuple[AnyPath, ...]],
    validation: Mapping[str, tuple[AnyPath, ...]],
    digests: Mapping[AnyPath, str],
) -> list[str]:
    """Returns a line for each way in which a file is there more than once.

    Args:
        train: The files of each class that are trained on.
        validation: The files of each class that the model is evaluated on.
        digests: Of each file; equal where the contents are.
    """
    places: dict[str, list[_Place]] = defaultdict(list)
    for is_validation, part in ((False, train), (True, validation)):
        for label, files in part.items():
            for file in files:
                places[digests[file]].append(_Place(is_validation, label, str(file)))
    leaked, ambiguous, repeated = [], [], []
    for same in places.values():
        if len(same) < 2:
            continue
        trained = [place for place in same if not place.is_validation]
        if trained:
            first = trained[0].file
            leaked += [(p.file, first) for p in same if p.is_validation]
        other = next((p for p in same if p.label != same[0].label), None)
        if other is not None:
            ambiguous.append((same[0].file, other.file))
        elif len(trained) in (0, len(same)):
            repeated.append((same[0].file, same[1].file))
    kinds = (
        (leaked, _IN_BOTH),
        (ambiguous, "in two classes or more (duplicates)"),
        (repeated, "in their class twice or more (duplicates)"),
    )
    return [line for pairs, words in kinds for line in _remark(pairs, words)]


def in_both(
    train: Sequence[CheckedImage], validation: Sequence[CheckedImage]
) -> list[str]:
    """Returns a line on images that are for training and for validation.

    Args:
        train: Images without classes that are trained on.
        validation: Those that the model is evaluated on.
    """
    trained = {image.digest: image.path for image in train if image.digest}
    both = [
        (str(image.path), str(trained[image.digest]))
        for image in validation
        if image.digest in trained
    ]
    return _remark(both, _IN_BOTH)


def _remark(pairs: Sequence[tuple[str, str]], words: str) -> list[str]:
    named = map(" = ".join, pairs)
    return [remark(named, f"is {words}", f"are {words}")] if pairs else []
