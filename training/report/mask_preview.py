"""A sheet of images with their masks as a training step will see them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from keras_convnext.segmentation.palette import overlay

from ..data.mask_source import MaskSource
from ..recipes.recipe import Recipe
from . import preview


def sheet(source: MaskSource, recipe: Recipe, count: int, draws: int) -> bytes:
    """Draws training images: a row each, whole, labeled, and as training draws it.

    They are those that a run begins with, and go through the pipeline that training
    reads from, as if they were all there is: a column an epoch. Pixels that do not
    count show the image alone.

    Args:
        source: Where the images are from.
        recipe: Its augmentation and seed are used.
        count: Rows, at most.
        draws: Columns after the whole image and its labels.

    Returns:
        A PNG.
    """
    few = preview.first_examples(source.training, recipe.seed, count)
    alone = replace(source, training=few, validation=few)
    images, masks = alone.validation_images(range(few.count))
    drawn = [
        next(
            alone.train(
                few.count,
                epoch=epoch,
                seed=recipe.seed,
                augment=recipe.mask_augmentation,
            ).as_numpy_iterator()
        )
        for epoch in range(draws)
    ]
    classes, palette = source.classes, source.palette
    numbers = np.concatenate([mask.ravel() for mask in masks])
    counts = np.bincount(numbers[numbers < len(classes)], minlength=len(classes))
    rows = [
        [
            image,
            overlay(image, mask, palette),
            *(overlay(batch[row], labels[row], palette) for batch, labels in drawn),
        ]
        for row, (image, mask) in enumerate(zip(images, masks, strict=True))
    ]
    return preview.draw_grid(
        rows,
        preview.names_of(few),
        [[""] * (draws + 1)] * len(rows),
        plain=("image", "labels"),
        legend=preview.legend(classes, palette, counts),
    )
