"""Recipes: what a training run does, as values, each number with its source."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .recipe import Recipe
    from .table import RECIPES, resolve

__all__ = ["RECIPES", "Recipe", "resolve"]


def __getattr__(name: str) -> Any:
    # Recipes load Keras, which a command does only once it has quieted it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import recipe, table

    return getattr(recipe if name == "Recipe" else table, name)
