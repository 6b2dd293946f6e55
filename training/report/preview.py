"""A sheet of images as a training step will see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..data.examples import Examples
from ..data.source import Source
from ..recipes.augmentation import Augmentation
from ..recipes.box_augmentation import BoxAugmentation
from ..recipes.mask_augmentation import MaskAugmentation
from ..recipes.recipe import Recipe
from . import plots

_CELL_INCHES = 1.3
_LEGEND_INCHES = 1.4
_LONGEST_NAME = 13
# As in the sheets of a report: a class that has less of an image is not worth a word.
_LEAST_SHARE = 0.005
# Classes that are named below a sheet.
_MOST_NAMED = 24


@dataclass(frozen=True, eq=False)
class FewExamples:
    """Some examples of a store, the same in every epoch.

    All else is as in the store.

    Attributes:
        store: Where they are from.
        records: Of these examples.
        count: How many there are.
    """

    store: Any
    records: tf.data.Dataset
    count: int

    @cached_property
    def max_objects(self) -> int:
        """The most objects of one of them; a store may have to be read for its own."""
        found = (self.store.image(record)[1].classes for record in self.records)
        return max(1, *map(len, found))

    def in_order(self) -> tf.data.Dataset:
        """Returns them in their order."""
        return self.records

    def shuffled(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Returns them in their order, so that a row stays an image."""
        del seed, epoch
        return self.in_order()

    def is_wide(self, record: Any) -> tf.Tensor:
        """Returns the same for all, for the same reason."""
        del record
        return tf.constant(True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


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
    few = first_examples(source.training, recipe.seed, count)
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
    names = [name_target(label, source.classes) for label in labels]
    return draw_grid(np.stack(columns, axis=1), names, captions)


def name_target(target: Any, classes: Sequence[str]) -> str:
    """Returns what an image is labeled with: a class, labels, or a number.

    Args:
        target: A class number; 0 and 1 of each label, `(labels,)`; or a number.
        classes: Their names; none of numbers.
    """
    if np.ndim(target):
        return (
            ", ".join(classes[int(i)] for i in np.flatnonzero(target > 0.5))
            or "no label"
        )
    return classes[target] if classes else f"{target:g}"


def in_words(augmentation: Augmentation | MaskAugmentation | BoxAugmentation) -> str:
    """Returns the augmentations that are on, in words."""
    plain = type(augmentation)()
    changed = [
        f"{field.name}={getattr(augmentation, field.name)}"
        for field in fields(augmentation)
        if getattr(augmentation, field.name) != getattr(plain, field.name)
    ]
    without = (
        "no augmentation but the place of the crop"
        if isinstance(augmentation, MaskAugmentation)
        else "no augmentation: training sees what evaluation sees"
    )
    return ", ".join(changed) or without


def first_examples(examples: Examples, seed: int, count: int) -> FewExamples:
    """Returns the examples that the first epoch begins with."""
    count = min(count, examples.count)
    records = examples.shuffled(seed, 0).take(count).cache()
    return FewExamples(examples, records, count)


def names_of(few: FewExamples) -> list[str]:
    """Returns what the images' files are called; nothing where nobody kept it."""
    names = few.names()
    if not names:
        return [""] * few.count
    # Stores that have names have rows as records.
    stems = [Path(names[int(row)]).stem for row in few.records]
    # Their ends differ: photographs are numbered.
    return [plots.end_of(stem, _LONGEST_NAME) for stem in stems]


def legend(
    classes: Sequence[str], palette: np.ndarray, counts: np.ndarray
) -> dict[str, tuple[float, ...]]:
    """Returns the colors of the most frequent classes, in the classes' order.

    Args:
        classes: Their names.
        palette: Their colors, uint8 `(classes, 3)`.
        counts: How often each is seen, `(classes,)`.
    """
    order = np.argsort(-counts, kind="stable")[:_MOST_NAMED]
    return {
        plots.shorten(classes[label]): tuple(palette[label] / 255)
        for label in sorted(order.tolist())
        if counts[label]
    }


def _mixture(target: np.ndarray, classes: Sequence[str]) -> str:
    """Returns the classes of a mixed image and what each has of it; or its number."""
    if not np.ndim(target):
        return f"{target:.3g}"
    order = np.argsort(-target, kind="stable")[:2]
    return "\n".join(
        f"{target[number]:.0%} {plots.shorten(classes[number], 14)}"
        for number in order
        if target[number] > _LEAST_SHARE
    )


def draw_grid(
    images: np.ndarray | Sequence[Sequence[np.ndarray]],
    names: Sequence[str],
    captions: Sequence[Sequence[str]],
    plain: Sequence[str] = ("plain",),
    legend: Mapping[str, Any] | None = None,
) -> bytes:
    """Draws rows of images, the first column apart.

    Args:
        images: Rows of columns of `(height, width, 3)`.
        names: What each row is called.
        captions: For each row what is below each image but the first; may be "".
        plain: What the columns before the draws show.
        legend: Colors by their names, drawn below; None draws none.

    Returns:
        A PNG.
    """
    rows, columns = len(images), len(images[0])
    heads = [*plain, *(f"draw {number + 1}" for number in range(columns - len(plain)))]
    worded = any(any(row) for row in captions)
    tall = _CELL_INCHES * (1.35 if worded else 1.08)
    above, left = 0.35, 1.2
    width = left + _CELL_INCHES * 1.08 * columns + 0.1
    per_line = max(1, int(width / _LEGEND_INCHES))
    lines = -(-len(legend or ()) // per_line)
    height = above + tall * rows + lines * 0.2 + (0.1 if lines else 0)
    figure = Figure(figsize=(width, height))
    if legend:
        patches = [Patch(color=color, label=name) for name, color in legend.items()]
        figure.legend(
            handles=patches,
            loc="lower center",
            ncols=per_line,
            fontsize=7,
            frameon=False,
        )
    for row in range(rows):
        for column in range(columns):
            x = left + 1.08 * _CELL_INCHES * column + (0.08 if column else 0)
            y = height - above - tall * row - _CELL_INCHES
            place = (x / width, y / height, _CELL_INCHES / width, _CELL_INCHES / height)
            axes = figure.add_axes(place)
            axes.set_axis_off()
            axes.imshow(images[row][column])
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
                    heads[column],
                    fontsize=9,
                    color=plots.INK,
                    weight="bold" if column < len(plain) else "normal",
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
