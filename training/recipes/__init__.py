"""Recipes: what a training run does, as values, each number with its source."""

from .recipe import Recipe
from .table import RECIPES, resolve

__all__ = ["RECIPES", "Recipe", "resolve"]
