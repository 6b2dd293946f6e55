"""Image files that a data set holds more than once, whatever they are called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from keras_convnext._data.class_folders import remark


class _Place(NamedTuple):
    is_validation: bool
    label: str
    file: Path


def notices(
    train: Mapping[str, tuple[Path, ...]],
    validation: Mapping[str, tuple[Path, ...]],
    digests: Mapping[Path, str],
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
                places[digests[file]].append(_Place(is_validation, label, file))
    leaked, ambiguous, repeated = [], [], []
    for same in places.values():
        if len(same) < 2:
            continue
        trained = [place for place in same if not place.is_validation]
        if trained:
            first = str(trained[0].file)
            leaked += [(str(p.file), first) for p in same if p.is_validation]
        other = next((p for p in same if p.label != same[0].label), None)
        if other is not None:
            ambiguous.append((str(same[0].file), str(other.file)))
        elif len(trained) in (0, len(same)):
            repeated.append((str(same[0].file), str(same[1].file)))
    kinds = (
        (
            leaked,
            "in both the training and the validation set (duplicates), so that the "
            "validation figures are too good",
        ),
        (ambiguous, "in two classes or more (duplicates)"),
        (repeated, "in their class twice or more (duplicates)"),
    )
    return [
        remark(map(" = ".join, pairs), f"is {words}", f"are {words}")
        for pairs, words in kinds
        if pairs
    ]
