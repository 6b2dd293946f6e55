"""A sheet of images with their boxes and masks as a training step will see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from keras_convnext.detection import overlay
from keras_convnext.segmentation.palette import palette_for

from ..data.box_source import BoxSource
from ..recipes.recipe import Recipe
from . import preview


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
    few: Any = preview.first_examples(source.training, seed, count)
    alone = replace(source, training=few, validation=few)
    images, truths = alone.validation_images(range(few.count))
    palette = palette_for(source.classes)
    labels = np.concatenate([truth["classes"] for truth in truths])
    counts = np.bincount(labels, minlength=len(source.classes))
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
        preview.names_of(few),
        [[""] * (draws + 1)] * len(rows),
        plain=("image", "objects"),
        legend=preview.legend(source.classes, palette, counts),
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
