"""The weights that a recipe names: published ones, or a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from keras_convnext import weights
from keras_convnext.detection import checkpoints as detectors
from keras_convnext.segmentation import checkpoints as upernets

from .recipe import Recipe

# Records of published ones, by name.
_WHOLE_NETWORKS: dict[str, Callable[[], Mapping[Any, Any]]] = {
    "segmentation": upernets.records,
    "detection": detectors.records,
}


def resolve(recipe: Recipe) -> weights.PretrainedWeights | Path | None:
    """Returns the weights that a recipe starts from, None for random ones.

    Recipes of segmentation and detection may name whole published networks, too.

    Args:
        recipe: Its `task`, `variant` and `weights` are used.

    Raises:
        ValueError: There are no such weights, or they are another variant's.
    """
    published = _WHOLE_NETWORKS.get(recipe.task, dict)()
    if recipe.weights in published:
        return published[recipe.weights].weights
    return weights.resolve(recipe.variant, recipe.weights)
