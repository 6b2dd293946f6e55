"""Labeled images whose classes are put into an order: small, medium, large."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from keras_convnext._data.data_error import DataError
from keras_convnext._files import first_few

from .examples import Encoded, Files, Records
from .pixels import Pixels
from .source import Source

SEPARATOR = ","


def put_in_order(source: Source, said: str | None) -> Source:
    """Returns the data with its classes in order, the lowest first.

    Args:
        source: The data, its classes sorted as text.
        said: All classes in their order, divided by commas. None sorts them by the
            numbers in their names and by the text between these: 2 before 10.

    Raises:
        DataError: The order has other classes than the data.
    """
    if said is None:
        ordered = sorted(source.classes, key=_natural)
    else:
        ordered = [name.strip() for name in said.split(SEPARATOR)]
        _check(ordered, source.classes)
    numbers = np.array([ordered.index(name) for name in source.classes], np.int32)
    training = _renumbered(source.training, numbers)
    is_one = source.validation is source.training
    return replace(
        source,
        classes=tuple(ordered),
        training=training,
        validation=training if is_one else _renumbered(source.validation, numbers),
        notices=(*source.notices, f"the order of the classes: {' < '.join(ordered)}"),
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Returns a key by which numbers in names count as numbers."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]


def _check(ordered: list[str], classes: tuple[str, ...]) -> None:
    problems = [
        f"{words} {first_few(sorted(names))}"
        for words, names in (
            ("lacks", set(classes) - set(ordered)),
            ("has no data for", set(ordered) - set(classes)),
            ("repeats", {name for name in ordered if ordered.count(name) > 1}),
        )
        if names
    ]
    if problems:
        raise DataError(
            f"class_order={SEPARATOR.join(ordered)} {' and '.join(problems)}. The "
            f"data's classes are {first_few(classes)}."
        )


def _renumbered(examples: Any, numbers: np.ndarray) -> Any:
    """Returns examples whose labels are looked up in a table."""
    if isinstance(examples, Pixels | Files):
        return replace(examples, labels=numbers[examples.labels])
    if isinstance(examples, Records):

        def read(row: int) -> tuple[bytes, int]:
            contents, label = examples.read(row)
            return contents, int(numbers[label])

        known = examples.labels
        labels = None if known is None else numbers[known]
        return replace(examples, read=read, labels=labels)
    assert isinstance(examples, Encoded)

    def stream(seed: int | None) -> Any:
        import tensorflow as tf

        from .graphs import as_written

        return examples.stream(seed).map(
            as_written(lambda contents, label: (contents, tf.constant(numbers)[label]))
        )

    return replace(examples, stream=stream)
