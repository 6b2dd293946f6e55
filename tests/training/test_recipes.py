"""The table of recipes and the limits of their fields."""

import dataclasses
import re

import pytest

from keras_convnext import list_variants, weights
from training import recipes
from training.recipes import RECIPES, Recipe


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_names_a_variant(recipe):
    assert recipe.variant in list_variants()


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_weights_that_a_recipe_starts_from_are_known(recipe):
    weights.resolve(recipe.variant, recipe.weights)


# The columns of arXiv:2201.03545's tables 5 and 6 and of arXiv:2301.00808's, typed in
# from the papers and the published commands: learning rate for this batch, epochs,
# warm-up, stochastic depth, layer decay, moving average.
PRINTED = {
    "v1_tiny_in1k": (4e-3, 300, 20, 0.1, None, 0.9999),
    "v1_large_in1k": (4e-3, 300, 20, 0.5, None, 0.9999),
    "v1_isotropic_base_in1k": (4e-3, 300, 50, 0.2, None, 0.9999),
    "v1_xlarge_in22k": (4e-3, 90, 5, 0.2, None, None),
    "v1_base_in1k_384": (5e-5, 30, 0, 0.8, 0.7, None),
    "v1_small_in22k_ft_in1k_224": (5e-5, 30, 0, 0.1, 0.8, None),
    "v1_xlarge_in22k_ft_in1k_384": (5e-5, 30, 0, 0.4, 0.8, 0.9999),
    "v2_atto_fcmae_ft_in1k": (8e-4, 600, 0, 0.1, 0.9, 0.9999),
    "v2_tiny_fcmae_ft_in1k": (3.2e-3, 300, 40, 0.2, 0.9, 0.9999),
    "v2_base_fcmae_ft_in1k": (2.5e-3, 100, 20, 0.1, 0.6, 0.9999),
    "v2_huge_fcmae_ft_in1k": (5e-4, 50, 10, 0.3, 0.75, 0.9999),
}


@pytest.mark.parametrize(("name", "printed"), PRINTED.items(), ids=PRINTED)
def test_the_papers_recipes_have_the_papers_numbers(name, printed):
    recipe = RECIPES[name]
    rate, *others = printed
    assert recipe.scaled_lr == pytest.approx(rate)
    assert others == [
        recipe.epochs,
        recipe.warmup_epochs,
        recipe.stochastic_depth_rate,
        recipe.layer_decay,
        recipe.ema_decay,
    ]


def test_every_published_run_has_a_recipe():
    sizes = {
        "v1_{}_in1k": "tiny small base large",
        "v1_isotropic_{}_in1k": "small base large",
        "v1_{}_in22k": "tiny small base large xlarge",
        "v1_{}_in1k_384": "base large",
        "v1_{}_in22k_ft_in1k_224": "tiny small base large xlarge",
        "v1_{}_in22k_ft_in1k_384": "tiny small base large xlarge",
        "v2_{}_fcmae_ft_in1k": "atto femto pico nano tiny base large huge",
    }
    published = {
        pattern.format(size) for pattern in sizes for size in sizes[pattern].split()
    }
    assert set(RECIPES) == published | {"demo", "scratch_small", "finetune_small"}


def test_the_learning_rate_follows_the_batch_in_proportion():
    recipe = recipes.resolve("v1_tiny_in1k", ["global_batch=1024"])
    assert recipe.scaled_lr == pytest.approx(1e-3)
    assert (
        recipes.resolve("demo", ["global_batch=8"]).scaled_lr == RECIPES["demo"].peak_lr
    )


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
            "precision is 'float8', not one of float32, mixed_bfloat16, mixed_float16",
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
