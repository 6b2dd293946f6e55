"""Folds of labeled images for cross-validation: each image is validated on once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from keras_convnext._data.data_error import DataError

from .examples import Examples, Files, Records
from .pixels import Pixels
from .source import Source


def assign(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Returns the fold of each image, from 0.

    Images are dealt out class by class in random order, so that the folds' sizes
    differ by one image at most, and so does each class's number of images in them: the
    guarantee of scikit-learn's `StratifiedKFold`. Which class has which number does not
    matter: ordered classes have other numbers in some commands than in others.

    Args:
        labels: Class numbers `(count,)`.
        folds: How many there are.
        seed: Of the order within a class.

    Returns:
        int64 `(count,)`.

    Example:
        >>> import numpy as np
        >>> from training.data import folds
        >>> found = folds.assign(np.array([0, 0, 0, 1, 1, 1]), folds=3, seed=0)
        >>> sorted(found[:3].tolist()), sorted(found[3:].tolist())
        ([0, 1, 2], [0, 1, 2])
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    # As scikit-learn has them, classes come in the order of their first images.
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    by_class = order[np.argsort(first[codes][order], kind="stable")]
    found = np.empty(len(labels), np.int64)
    found[by_class] = np.arange(len(labels)) % folds
    return found


def take_fold(source: Source, folds: int, fold: int, seed: int) -> Source:
    """Returns the data with one fold as validation images, the others for training.

    Args:
        source: The data. The images of both of its parts are dealt out anew.
        folds: How many folds there are.
        fold: Which one is for validation, from 1.
        seed: Of the folds.

    Raises:
        DataError: Images or labels cannot be read by number, or a class has fewer
            images than there are folds.
    """
    whole = _join(source.training, source.validation)
    assert whole.labels is not None
    counts = np.bincount(whole.labels, minlength=len(source.classes))
    scarce = np.flatnonzero(counts < folds)
    if len(scarce):
        first = scarce[0]
        raise DataError(
            f"folds={folds} takes {folds} images of every class or more, and "
            f"{source.classes[first]!r} has {counts[first]}; take fewer folds, or add "
            "images."
        )
    is_validation = assign(whole.labels, folds, seed) == fold - 1
    notice = () if source.drawn else ("its own split is not used: folds are of all",)
    return replace(
        source,
        training=_select(whole, np.flatnonzero(~is_validation)),
        validation=_select(whole, np.flatnonzero(is_validation)),
        notices=(*source.notices, *notice),
        drawn=True,
    )


def whole(source: Source) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns labels and names of the images that folds are made of, in their order.

    Args:
        source: The data, not yet divided into folds.

    Returns:
        (labels int32 `(count,)`, names; empty where nobody kept them).
    """
    joined = _join(source.training, source.validation)
    assert joined.labels is not None
    return joined.labels, joined.names()


def _join(train: Examples, validation: Examples) -> Files | Records | Pixels:
    """Returns the images of both parts as one, in the order of their names.

    Files come in the same order whatever drew the parts.
    """
    if isinstance(train, Files) and isinstance(validation, Files):
        parts = (train, validation)
        files = Files(
            train.paths + validation.paths,
            _labels(parts),
            np.concatenate([part.ways for part in parts]),
            train.names() + validation.names(),
        )
        return _select(files, np.argsort(np.array(files.originals), kind="stable"))
    if isinstance(train, Pixels) and isinstance(validation, Pixels):
        if train.images.shape[1:] != validation.images.shape[1:]:
            raise DataError(
                f"folds need images of one size, and these have "
                f"{train.images.shape[1:3]} and {validation.images.shape[1:3]}."
            )
        images = np.concatenate([train.images, validation.images])
        return Pixels(images, _labels((train, validation)))
    if (
        isinstance(train, Records)
        and isinstance(validation, Records)
        and train.labels is not None
        and validation.labels is not None
    ):
        return _join_records(train, validation)
    raise DataError(
        "folds need data whose images and labels are known by number: folder:, files:, "
        "array:, tfrecord:, array_record: or a data set that fits into memory."
    )


def _join_records(train: Records, validation: Records) -> Records:
    def read(number: int) -> tuple[bytes, int]:
        if number < train.count:
            return train.read(number)
        return validation.read(number - train.count)

    def read_names() -> tuple[str, ...]:
        names = (train.names(), validation.names())
        return names[0] + names[1] if all(names) else ()

    count = train.count + validation.count
    return Records(count, read, _labels((train, validation)), read_names)


def _labels(parts: Sequence[Files | Records | Pixels]) -> np.ndarray:
    return np.concatenate([np.asarray(part.labels) for part in parts])


def _select(whole: Files | Records | Pixels, rows: np.ndarray) -> Any:
    """Returns the examples of these numbers."""
    assert whole.labels is not None
    labels = whole.labels[rows]
    if isinstance(whole, Files):
        return Files(
            tuple(whole.paths[row] for row in rows),
            labels,
            whole.ways[rows],
            tuple(whole.originals[row] for row in rows),
        )
    if isinstance(whole, Pixels):
        return Pixels(whole.images[rows], labels)

    def read_names() -> tuple[str, ...]:
        names = whole.names()
        return tuple(names[row] for row in rows) if names else ()

    return Records(
        len(rows), lambda number: whole.read(int(rows[number])), labels, read_names
    )
