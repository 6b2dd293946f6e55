"""The table of recipes and the limits of their fields."""

import dataclasses
import re

import pytest

from keras_convnext import list_variants
from training import recipes
from training.recipes import RECIPES, Recipe


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_names_a_variant(recipe):
    assert recipe.variant in list_variants()


def test_the_demo_needs_no_download_and_mirrors_no_digit():
    demo = recipes.resolve("demo")
    assert demo.weights is None
    assert not demo.augmentation.flip


def test_changes_apply_and_leave_the_table_alone():
    changed = recipes.resolve("demo", ["epochs=7", "augmentation.flip=true"])
    assert (changed.epochs, changed.augmentation.flip) == (7, True)
    assert RECIPES["demo"].epochs != 7


def test_an_unknown_recipe_is_answered_with_the_closest_names():
    with pytest.raises(
        ValueError, match="no recipe called 'dem'; the closest are demo"
    ):
        recipes.resolve("dem")


def test_the_name_of_a_recipe_cannot_be_set():
    with pytest.raises(ValueError, match="there is no field 'name'"):
        recipes.resolve("demo", ["name=other"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "epochs is 0, not 1 or more"),
        ({"peak_lr": 0.0}, "peak_lr is 0.0, not above 0"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0, not in [0, 1)"),
        ({"ema_decay": -0.1}, "ema_decay is -0.1, not in [0, 1)"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0, not above 0 or none"),
        (
            {"warmup_epochs": 3.0},
            "warmup_epochs is 3.0, not from 0 to less than epochs",
        ),
        ({"validation_share": 1.0}, "validation_share is 1.0, not between 0 and 1"),
        (
            {"precision": "float8"},
            "precision is 'float8', not one of float32, mixed_bfloat16",
        ),
    ],
)
def test_a_number_beyond_its_limits_is_refused(change, words):
    valid = Recipe("mine", "convnext_atto", 32, epochs=3, global_batch=8, peak_lr=1e-3)
    with pytest.raises(ValueError, match=re.escape(words)):
        dataclasses.replace(valid, **change)


def test_everything_wrong_with_a_recipe_is_said_at_once():
    with pytest.raises(ValueError, match=r"epochs is 0.*; .*peak_lr is -1"):
        Recipe("mine", "convnext_atto", 32, epochs=0, global_batch=8, peak_lr=-1)
