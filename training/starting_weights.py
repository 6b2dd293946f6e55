"""The weights that a run starts from: which, whether they fit, and how they see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_convnext import weights
from keras_convnext.weights.fetch import fetch as fetch_file

from .classifier import PREPROCESSING, read_preprocessing
from .console import Mistake
from .recipe import Recipe


def changes(named: str) -> list[str]:
    """Returns what `--weights` changes in a recipe, as `--set` has it.

    Args:
        named: A published checkpoint, which brings its variant along; or "imagenet",
            a tag or a file for the recipe's own variant.
    """
    found = [f"weights={named}"]
    if named in weights.list_weights():
        found.insert(0, f"variant={weights.find(named).variant}")
    return found


def check(recipe: Recipe) -> None:
    """Makes sure that there are such weights, without fetching or reading them.

    Raises:
        ValueError: There are none.
    """
    weights.resolve(recipe.variant, recipe.weights)


def fetch(recipe: Recipe) -> None:
    """Fetches the recipe's weights where they are not on this machine yet.

    Raises:
        Mistake: They cannot be had.
    """
    found = weights.resolve(recipe.variant, recipe.weights)
    if not isinstance(found, weights.Record):
        return
    try:
        fetch_file(found)
    except OSError as error:
        raise Mistake(
            f"the weights {found.name} cannot be fetched: {error} Without a network, "
            "give --weights a file that was fetched elsewhere"
        ) from error


def normalized_alike(source: Any, recipe: Recipe) -> Any:
    """Returns the data with the mean and deviation that the weights are used to.

    Args:
        source: A `training.data.Source`.
        recipe: Whose weights; a file's are read from the preprocessing.json beside
            it, where there is one.
    """
    found = weights.resolve(recipe.variant, recipe.weights)
    used_to = None
    if isinstance(found, weights.Record):
        used_to = found.preprocessing
    elif isinstance(found, Path) and (found.parent / PREPROCESSING[0]).is_file():
        used_to = read_preprocessing(found.parent / PREPROCESSING[0])
    if used_to is None:
        return source
    alike = replace(source.preprocessing, mean=used_to.mean, std=used_to.std)
    return replace(source, preprocessing=alike)
