"""A sheet of images with their boxes and masks as a training step will see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import tensorflow as tf

from keras_convnext.detection import overlay
from keras_convnext.segmentation.palette import palette_for

from ..data.box_examples import BoxExamples
from ..data.box_source import BoxSource
from ..recipes.recipe import Recipe
from . import plots, preview

# The most frequent classes are named below a sheet, so many at most.
_MOST_NAMED = 24


@dataclass(frozen=True, eq=False)
class _FewBoxes:
    """The images that a run begins with, the same in every epoch.

    Attributes:
        store: Where they are from.
        seed: Of the run.
        count: How many there are.
        max_objects: The most of one of them; the store may have to be read for its own.
    """

    store: BoxExamples
    seed: int
    count: int
    max_objects: int = 1

    def in_order(self) -> tf.data.Dataset:
        return self.store.shuffled(self.seed, 0).take(self.count)

    def shuffled(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Returns them in their order, so that a row stays an image."""
        del seed, epoch
        return self.in_order()

    def is_wide(self, record: tf.Tensor) -> tf.Tensor:
        """Returns the same for all, for the same reason."""
        del record
        return tf.constant(True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def sheet(source: BoxSource, recipe: Recipe, count: int, draws: int) -> bytes:
    """Draws training images: a row each, whole, with objects, and as training draws it.

    They are those that a run begins with, and go through the pipeline that training
    reads from, as if they were all there is: a column an epoch.

    Args:
        source: Where the images are from.
        recipe: Its augmentation and seed are used.
        count: Rows, at most.
        draws: Columns after the whole image and its objects.

    Returns:
        A PNG.
    """
    augment, seed = recipe.box_augmentation, recipe.seed
    few = _FewBoxes(source.training, seed, min(count, source.train_examples))
    alone = replace(source, validation=cast(BoxExamples, few))
    images, truths = alone.validation_images(range(few.count))
    most = max(1, *(len(truth["classes"]) for truth in truths))
    few = replace(few, max_objects=most)
    alone = replace(source, training=cast(BoxExamples, few))
    numbers = [few.number(record) for record in few.in_order()]
    palette = palette_for(source.classes)
    rows = [
        [image, draw_objects(image, truth, palette)]
        for image, truth in zip(images, truths, strict=True)
    ]
    for epoch in range(draws):
        batches = alone.train(few.count, epoch=epoch, seed=seed, augment=augment)
        batch, drawn = next(batches.as_numpy_iterator())
        for row, image in enumerate(batch):
            truth = {name: values[row] for name, values in drawn.items()}
            height, width = truth["size"]
            seen = draw_objects(image, truth, palette)
            rows[row].append(seen if augment.is_square else seen[:height, :width])
    return preview.draw_grid(
        rows,
        preview.names_of(source.training, numbers),
        [[""] * (draws + 1)] * len(rows),
        plain=("image", "objects"),
        legend=_legend(source.classes, palette, truths),
    )


def draw_objects(
    image: np.ndarray, truth: Mapping[str, np.ndarray], palette: np.ndarray
) -> np.ndarray:
    """Draws boxes, and masks where there are some, in the colors of their classes.

    Args:
        image: uint8 `(height, width, 3)`.
        truth: Its "boxes", "classes" and perhaps "masks", as `BoxSource` has them.
        palette: A color for each class, uint8 `(classes, 3)`.

    Returns:
        uint8 `(height, width, 3)`.
    """
    count = int(np.sum(truth["classes"] >= 0))
    boxes, classes = truth["boxes"][:count], truth["classes"][:count]
    masks = truth["masks"][:count] > 0 if "masks" in truth else None
    return overlay.draw_objects(image, boxes, classes, palette, masks)


def _legend(
    classes: tuple[str, ...],
    palette: np.ndarray,
    truths: Iterable[Mapping[str, np.ndarray]],
) -> dict[str, tuple[float, ...]]:
    """Returns the colors of the most frequent classes, in the classes' order."""
    labels = np.concatenate([truth["classes"] for truth in truths])
    counts = np.bincount(labels, minlength=len(classes))
    order = np.argsort(-counts, kind="stable")[:_MOST_NAMED]
    return {
        plots.shorten(classes[label]): tuple(palette[label] / 255)
        for label in sorted(order.tolist())
        if counts[label]
    }
