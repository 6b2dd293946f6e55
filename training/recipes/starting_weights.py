"""The weights that a recipe names: published ones, or a file."""

from __future__ import annotations

from pathlib import Path

from keras_convnext import weights
from keras_convnext.segmentation import checkpoints

from .recipe import Recipe


def resolve(recipe: Recipe) -> weights.PretrainedWeights | Path | None:
    """Returns the weights that a recipe starts from, None for random ones.

    Recipes of segmentation may name whole UPerNets, too.

    Args:
        recipe: Its `task`, `variant` and `weights` are used.

    Raises:
        ValueError: There are no such weights, or they are another variant's.
    """
    if recipe.task == "segmentation" and recipe.weights in checkpoints.records():
        return checkpoints.find(str(recipe.weights)).weights
    return weights.resolve(recipe.variant, recipe.weights)
