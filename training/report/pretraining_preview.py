"""A sheet of images with masked patches as a pre-training step will see them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from keras_convnext.pretraining import count_visible, reconstruct

from ..data.unlabeled_source import UnlabeledSource
from ..recipes.recipe import Recipe
from . import preview


def sheet(source: UnlabeledSource, recipe: Recipe, count: int, draws: int) -> bytes:
    """Draws training images: a row each, whole, and as the encoder will see it.

    They are those that a run begins with, and go through the pipeline that training
    reads from, as if they were all there is: a column an epoch. Masked patches are
    gray, where the recipe masks any.

    Args:
        source: Where the images are from.
        recipe: Its augmentation, seed and mask ratio are used.
        count: Rows, at most.
        draws: Columns after the whole image.

    Returns:
        A PNG.
    """
    few = preview.first_examples(source.training, recipe.seed, count)
    alone = replace(source, training=few, validation=few)
    masked = 0
    if recipe.task == "masked_autoencoding":
        masked = source.patches - count_visible(source.patches, recipe.mask_ratio)
    columns = [alone.validation_images(range(few.count))[0]]
    for epoch in range(draws):
        images, orders = next(
            alone.train(
                few.count,
                epoch=epoch,
                seed=recipe.seed,
                augment=replace(recipe.augmentation, repeats=1),
            ).as_numpy_iterator()
        )
        if masked:
            nothing = np.zeros((few.count, masked, 3 * source.patch_px**2), "float32")
            images, _ = reconstruct(images, orders, nothing)
        columns.append(images)
    return preview.draw_grid(
        np.stack(columns, axis=1),
        preview.names_of(few),
        [[""] * draws] * few.count,
        plain=("image",),
    )
