"""Recipes: what a training run does, as values, each number with its source."""
