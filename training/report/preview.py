"""A sheet of images as a training step will see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from ..data.examples import Examples
from ..data.source import Source
from ..recipes.augmentation import Augmentation
from ..recipes.recipe import Recipe
from . import plots

_CELL_INCHES = 1.3
# As in the sheets of a report: a class that has less of an image is not worth a word.
_LEAST_SHARE = 0.005


@dataclass(frozen=True, eq=False)
class _Few:
    """Some examples of a store, the same in every epoch.

    Attributes:
        store: Where they are from.
        records: Of these examples, one below the other.
        count: How many there are.
    """

    store: Examples
    records: Any
    count: int

    def in_order(self) -> tf.data.Dataset:
        """Returns them in their order."""
        return tf.data.Dataset.from_tensor_slices(self.records)

    def shuffled(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Returns them in their order, so that a row stays an image."""
        del seed, epoch
        return self.in_order()

    def image(self, record: Any, window: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the store's image and label of a record."""
        return self.store.image(record, window)

    def names(self) -> tuple[str, ...]:
        """Returns nothing: a sheet has no use for them."""
        return ()


def sheet(source: Source, recipe: Recipe, count: int, draws: int) -> bytes:
    """Draws training images: a row each, plain and as training draws it.

    They are those that a run of the recipe begins with, and go through the pipeline
    that training reads from, as if they were all there is: a column an epoch.

    Args:
        source: Where the images are from.
        recipe: Its augmentation, seed and size are used.
        count: Rows, at most.
        draws: Columns after the plain one.

    Returns:
        A PNG.
    """
    few = _first(source.training, recipe.seed, count)
    plain, labels = replace(source, validation=few).validation_images(range(few.count))
    # Repeats would show the first images several times and the last not at all.
    augment = replace(recipe.augmentation, repeats=1)
    drawn = [
        next(
            replace(source, training=few)
            .train(few.count, epoch=epoch, seed=recipe.seed, augment=augment)
            .as_numpy_iterator()
        )
        for epoch in range(draws)
    ]
    columns = [plain, *(images for images, _ in drawn)]
    captions = [
        [""] * len(drawn)
        if not augment.mixes
        else [_mixture(targets[row], source.classes) for _, targets in drawn]
        for row in range(few.count)
    ]
    names = [source.classes[label] for label in labels]
    return _drawn(np.stack(columns, axis=1), names, captions)


def in_words(augmentation: Augmentation) -> str:
    """Returns the augmentations that are on, in words."""
    plain = Augmentation()
    changed = [
        f"{field.name}={getattr(augmentation, field.name)}"
        for field in fields(augmentation)
        if getattr(augmentation, field.name) != getattr(plain, field.name)
    ]
    return ", ".join(changed) or "no augmentation: training sees what evaluation sees"


def _first(examples: Examples, seed: int, count: int) -> _Few:
    """Returns the examples that the first epoch begins with."""
    count = min(count, examples.count)
    records = examples.shuffled(seed, 0).take(count).batch(count)
    return _Few(examples, records.get_single_element(), count)


def _mixture(target: np.ndarray, classes: Sequence[str]) -> str:
    """Returns the classes of a mixed image and what each has of it."""
    order = np.argsort(-target, kind="stable")[:2]
    return "\n".join(
        f"{target[number]:.0%} {plots.shorten(classes[number], 14)}"
        for number in order
        if target[number] > _LEAST_SHARE
    )


def _drawn(
    images: np.ndarray, names: Sequence[str], captions: Sequence[Sequence[str]]
) -> bytes:
    """Draws a grid `(rows, columns, height, width, 3)`, the first column apart."""
    rows, columns = images.shape[:2]
    worded = any(any(row) for row in captions)
    tall = _CELL_INCHES * (1.35 if worded else 1.08)
    above, left = 0.35, 1.2
    width, height = left + _CELL_INCHES * 1.08 * columns + 0.1, above + tall * rows
    figure = Figure(figsize=(width, height))
    for row in range(rows):
        for column in range(columns):
            x = left + 1.08 * _CELL_INCHES * column + (0.08 if column else 0)
            y = height - above - tall * row - _CELL_INCHES
            place = (x / width, y / height, _CELL_INCHES / width, _CELL_INCHES / height)
            axes = figure.add_axes(place)
            axes.set_axis_off()
            axes.imshow(images[row, column])
            if column and captions[row][column - 1]:
                axes.text(
                    *(0.5, -0.03),
                    captions[row][column - 1],
                    ha="center",
                    va="top",
                    fontsize=6.5,
                    color=plots.INK,
                    transform=axes.transAxes,
                )
            if not row:
                axes.set_title(
                    "plain" if not column else f"draw {column}",
                    fontsize=9,
                    color=plots.INK,
                    weight="normal" if column else "bold",
                )
        figure.text(
            (left - 0.1) / width,
            (height - above - tall * row - _CELL_INCHES / 2) / height,
            plots.shorten(names[row], 15),
            ha="right",
            va="center",
            fontsize=9,
            color=plots.INK,
        )
    return plots.png(figure)
