"""Models around the backbone of a classifier, as several tasks build them."""

from __future__ import annotations

from typing import Any

import keras

import keras_convnext
from keras_convnext import weights
from keras_convnext.preprocessing import Preprocessing

from ..recipes import starting_weights
from ..recipes.recipe import Recipe


def starting_point(recipe: Recipe) -> dict[str, Any]:
    """Returns what a model that learns begins with, as its builder takes it.

    A classifier's published weights are the backbone's, others the whole model's.
    """
    start = starting_weights.resolve(recipe)
    named = start.name if isinstance(start, weights.PretrainedWeights) else ""
    if named in weights.list_weights():
        return {"backbone": named, "weights": None}
    return {"backbone": recipe.variant, "weights": start}


def arguments(recipe: Recipe) -> dict[str, Any]:
    """Returns what a recipe says of the backbone itself, where it says anything."""
    names = ("layer_scale_init_value", "patch_size")
    known = {name: getattr(recipe, name) for name in names}
    return {name: value for name, value in known.items() if value is not None}


def build_encoder(
    recipe: Recipe,
    preprocessing: Preprocessing,
    *,
    weights: str | None = None,
    stochastic_depth_rate: float = 0.0,
    dtype: str = "float32",
) -> keras.Model:
    """Builds a network without a classifier: images to features `(batch, channels)`.

    Args:
        recipe: Its variant, patches, size and seed are used.
        preprocessing: How it normalizes images.
        weights: What it starts from, as `keras_convnext.create` takes it.
        stochastic_depth_rate: Of the last block.
        dtype: Of its computation.
    """
    return keras_convnext.create(
        recipe.variant,
        weights=weights,
        include_top=False,
        pooling="avg",
        input_shape=(recipe.size_px, recipe.size_px, 3),
        preprocessing=preprocessing,
        seed=recipe.seed,
        stochastic_depth_rate=stochastic_depth_rate,
        dtype=dtype,
        **arguments(recipe),
    )


def with_weights_of(trained: keras.Model, model: keras.Model) -> keras.Model:
    """Gives a model the weights of another one that has all of its paths.

    Returns:
        The model.
    """
    values = {variable.path: variable for variable in trained.weights}
    for variable in model.weights:
        variable.assign(values[variable.path])
    return model
