"""The networks of a run: the one that learns, and the one that is kept."""

from __future__ import annotations

from typing import Any

import keras

import keras_convnext
from keras_convnext.preprocessing import Preprocessing

from ..recipes.table import Recipe


def build_training_model(
    recipe: Recipe, classes: int, preprocessing: Preprocessing
) -> keras.Model:
    """Builds the network that learns; it gives logits.

    Args:
        recipe: Says which variant, from which weights, in which precision.
        classes: Outputs of the classifier.
        preprocessing: Mean and standard deviation that it normalizes with.

    Raises:
        ValueError: The recipe's fields make no model.
    """
    return _build(
        recipe,
        classes,
        preprocessing,
        weights=recipe.weights,
        classifier_activation=None,
        stochastic_depth_rate=recipe.stochastic_depth_rate,
        dropout_rate=recipe.dropout_rate,
        head_init_scale=recipe.head_init_scale,
        dtype=recipe.precision,
    )


def build_inference_model(
    recipe: Recipe, trained: keras.Model, preprocessing: Preprocessing
) -> keras.Model:
    """Builds the network that `model.keras` holds.

    Probabilities instead of logits, float32 whatever the training's precision,
    and nothing in it that is only for training.

    Args:
        recipe: The run's.
        trained: A network of `build_training_model`, whose weights it gets.
        preprocessing: As in `build_training_model`.
    """
    model = _build(
        recipe,
        trained.output_shape[-1],
        preprocessing,
        weights=None,
        classifier_activation="softmax",
        dtype="float32",
    )
    model.set_weights(trained.get_weights())
    return model


def _build(
    recipe: Recipe, classes: int, preprocessing: Preprocessing, **arguments: Any
) -> keras.Model:
    if recipe.layer_scale_init_value is not None:
        arguments["layer_scale_init_value"] = recipe.layer_scale_init_value
    return keras_convnext.create(
        recipe.variant,
        input_shape=(recipe.size_px, recipe.size_px, 3),
        classes=classes,
        patch_size=recipe.patch_size,
        preprocessing=preprocessing,
        seed=recipe.seed,
        **arguments,
    )
