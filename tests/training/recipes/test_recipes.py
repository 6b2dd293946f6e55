"""The table of recipes and the limits of their fields."""

import dataclasses
import re

import pytest

from keras_convnext import list_variants, weights
from keras_convnext.variants import VARIANTS
from training.recipes import overrides, table
from training.recipes.papers import PAPER_RECIPES
from training.recipes.table import RECIPES, Recipe


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_names_a_variant(recipe):
    assert recipe.variant in list_variants()


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_weights_that_a_recipe_starts_from_are_known(recipe):
    if str(recipe.weights).startswith("runs/"):
        # What another recipe leaves, for the same variant.
        _, earlier, file = recipe.weights.split("/")
        assert file == "model.keras"
        assert RECIPES[earlier].variant == recipe.variant
        with pytest.raises(ValueError, match=f"no weights file {recipe.weights}"):
            weights.resolve(recipe.variant, recipe.weights)
    else:
        weights.resolve(recipe.variant, recipe.weights)


# The columns of arXiv:2201.03545's tables 5 and 6 and of arXiv:2301.00808's tables 9 to
# 13, typed in from the papers and the published commands: learning rate for this batch,
# batch, epochs, warm-up, weight decay, stochastic depth, layer decay, its kind, MixUp
# and CutMix, label smoothing, moving average.
V1_IN1K = "4e-3 4096 300 {} .05 {} - - .8 1 .1 .9999"
V1_IN22K = "4e-3 4096 90 5 .05 {} - - .8 1 .1 -"
V1_FT = "5e-5 512 30 0 1e-8 {} {} group 0 0 .1 {}"
V2_SMALL = "8e-4 1024 600 0 {} {} .9 single {} {} .2 .9999"
V2_LARGE = "{} 1024 {} {} .05 {} {} group .8 1 .1 .9999"
V2_IN22K = "4e-3 4096 90 5 .05 {} {} {} .8 1 .1 -"
V2_FT = "5e-5 512 {} 0 1e-8 {} {} {} 0 0 .1 {}"
PRINTED = {
    "v1_tiny_in1k": V1_IN1K.format(20, 0.1),
    "v1_small_in1k": V1_IN1K.format(20, 0.4),
    "v1_base_in1k": V1_IN1K.format(20, 0.5),
    "v1_large_in1k": V1_IN1K.format(20, 0.5),
    "v1_isotropic_small_in1k": V1_IN1K.format(50, 0.1),
    "v1_isotropic_base_in1k": V1_IN1K.format(50, 0.2),
    "v1_isotropic_large_in1k": V1_IN1K.format(50, 0.5),
    "v1_tiny_in22k": V1_IN22K.format(0),
    "v1_small_in22k": V1_IN22K.format(0),
    "v1_base_in22k": V1_IN22K.format(0.1),
    "v1_large_in22k": V1_IN22K.format(0.1),
    "v1_xlarge_in22k": V1_IN22K.format(0.2),
    "v1_base_in1k_384": V1_FT.format(0.8, 0.7, "-"),
    "v1_large_in1k_384": V1_FT.format(0.95, 0.7, "-"),
    **{
        f"v1_{size}_in22k_ft_in1k_{px}": V1_FT.format(rate, 0.8, average)
        for px in (224, 384)
        for size, rate, average in (
            ("tiny", 0, "-"),
            ("small", 0.1, "-"),
            ("base", 0.2, "-"),
            ("large", 0.3, "-"),
            ("xlarge", 0.4, 0.9999),
        )
    },
    "v2_atto_fcmae_ft_in1k": V2_SMALL.format(0.3, 0.1, 0, 0),
    "v2_femto_fcmae_ft_in1k": V2_SMALL.format(0.05, 0, 0.3, 0.3),
    "v2_pico_fcmae_ft_in1k": V2_SMALL.format(0.3, 0, 0.3, 0.3),
    "v2_nano_fcmae_ft_in1k": V2_SMALL.format(0.3, 0.1, 0.5, 0.5),
    "v2_tiny_fcmae_ft_in1k": "3.2e-3 1024 300 40 .05 .2 .9 single .8 1 .1 .9999",
    "v2_base_fcmae_ft_in1k": V2_LARGE.format("2.5e-3", 100, 20, 0.1, 0.6),
    "v2_large_fcmae_ft_in1k": V2_LARGE.format("2.5e-3", 100, 20, 0.2, 0.6),
    "v2_huge_fcmae_ft_in1k": V2_LARGE.format("5e-4", 50, 10, 0.3, 0.75),
    "v2_nano_fcmae_ft_in22k": V2_IN22K.format(0, 0.9, "single"),
    "v2_tiny_fcmae_ft_in22k": V2_IN22K.format(0, 0.9, "single"),
    "v2_base_fcmae_ft_in22k": V2_IN22K.format(0.1, 0.8, "group"),
    "v2_large_fcmae_ft_in22k": V2_IN22K.format(0.1, 0.8, "group"),
    "v2_huge_fcmae_ft_in22k": V2_IN22K.format(0.3, 0.8, "group"),
    **{
        f"v2_{size}_fcmae_ft_in22k_in1k_{px}": V2_FT.format(*columns)
        for size, sizes, *columns in (
            ("nano", (224, 384), 90, 0.1, 0.9, "single", 0.9999),
            ("tiny", (224, 384), 90, 0.1, 0.9, "single", 0.9999),
            ("base", (224, 384), 30, 0.2, 0.8, "group", 0.9999),
            ("large", (224, 384), 30, 0.3, 0.85, "group", 0.9999),
            ("huge", (384, 512), 30, 0.5, 0.9, "group", "-"),
        )
        for px in sizes
    },
}
# What every one of them shares; V2's moments are V1's in fine-tuning.
SHARED = {
    "min_lr": 1e-6,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "clip_norm": None,
    "loss": "softmax",
    "frozen_epochs": 0,
    "keep": "last",
}


def as_printed(recipe):
    """The columns of the table above, of a recipe."""
    is_grouped = recipe.layer_decay is not None
    return (
        recipe.global_batch,
        recipe.epochs,
        recipe.warmup_epochs,
        recipe.weight_decay,
        recipe.stochastic_depth_rate,
        recipe.layer_decay,
        recipe.layer_assignment if is_grouped else None,
        recipe.augmentation.mixup,
        recipe.augmentation.cutmix,
        recipe.label_smoothing,
        recipe.ema_decay,
    )


@pytest.mark.parametrize(("name", "printed"), PRINTED.items(), ids=PRINTED)
def test_the_papers_recipes_have_the_papers_numbers(name, printed):
    recipe = RECIPES[name]
    rate, *others = printed.split()
    assert recipe.scaled_lr == pytest.approx(float(rate))
    words = {"-": None, "group": "group", "single": "single"}
    wanted = tuple(words[word] if word in words else float(word) for word in others)
    assert as_printed(recipe) == wanted
    assert {field: getattr(recipe, field) for field in SHARED} == SHARED
    assert recipe.augmentation.rand_augment == "rand-m9-mstd0.5-inc1"
    assert recipe.augmentation.random_erasing == 0.25
    assert recipe.augmentation.crop_scale == (0.08, 1.0)
    assert recipe.augmentation.mix_switch_probability == 0.5
    assert recipe.head_init_scale == (0.001 if "_ft_" in name or "_384" in name else 1)
    size = re.search(r"_(224|384|512)$", name)
    assert recipe.size_px == (int(size[1]) if size else 224)
    # The official code evaluates images of 384 px and more whole, squashed.
    assert recipe.evaluation_crop == ("squash" if recipe.size_px >= 384 else None)


def test_every_recipe_of_the_papers_is_compared_with_what_is_printed():
    assert PRINTED.keys() == {recipe.name for recipe in PAPER_RECIPES}


@pytest.mark.parametrize(
    ("size", "expected"), [("small", None), ("base", None), ("large", 1e-6)]
)
def test_layer_scale_is_the_papers(size, expected):
    name = f"v1_isotropic_{size}_in1k"
    assert RECIPES[name].layer_scale_init_value is None
    variant = VARIANTS[RECIPES[name].variant]
    assert variant.layer_scale_init_value == expected
    assert RECIPES["v1_tiny_in1k"].layer_scale_init_value == 1e-6


def test_every_published_run_has_a_recipe():
    sizes = {
        "v1_{}_in1k": "tiny small base large",
        "v1_isotropic_{}_in1k": "small base large",
        "v1_{}_in22k": "tiny small base large xlarge",
        "v1_{}_in1k_384": "base large",
        "v1_{}_in22k_ft_in1k_224": "tiny small base large xlarge",
        "v1_{}_in22k_ft_in1k_384": "tiny small base large xlarge",
        "v2_{}_fcmae_ft_in1k": "atto femto pico nano tiny base large huge",
        "v2_{}_fcmae_ft_in22k": "nano tiny base large huge",
        "v2_{}_fcmae_ft_in22k_in1k_224": "nano tiny base large",
        "v2_{}_fcmae_ft_in22k_in1k_384": "nano tiny base large huge",
        "v2_{}_fcmae_ft_in22k_in1k_512": "huge",
    }
    published = {
        pattern.format(size) for pattern in sizes for size in sizes[pattern].split()
    }
    # Those of segmentation stand in test_ade20k.py.
    classification = {
        name for name, recipe in RECIPES.items() if recipe.task == "classification"
    }
    assert classification == published | {"demo", "scratch_small", "finetune_small"}


def test_the_learning_rate_follows_the_batch_in_proportion():
    recipe = table.resolve("v1_tiny_in1k", ["global_batch=1024"])
    assert recipe.scaled_lr == pytest.approx(1e-3)
    assert (
        table.resolve("demo", ["global_batch=8"]).scaled_lr == RECIPES["demo"].peak_lr
    )


def test_the_demo_needs_no_download_and_mirrors_no_digit():
    demo = table.resolve("demo")
    assert demo.weights is None
    assert not demo.augmentation.flip


def test_changes_apply_and_leave_the_table_alone():
    changed = table.resolve("demo", ["epochs=7", "augmentation.flip=true"])
    assert (changed.epochs, changed.augmentation.flip) == (7, True)
    assert RECIPES["demo"].epochs != 7


def test_an_unknown_recipe_is_answered_with_the_closest_names():
    with pytest.raises(
        ValueError, match="no recipe called 'dem'; the closest are demo"
    ):
        table.resolve("dem")


def test_the_evaluation_crop_is_one_of_two_or_the_datas():
    changed = table.resolve("demo", ["evaluation_crop=squash"])
    assert changed.evaluation_crop == "squash"
    with pytest.raises(ValueError, match="evaluation_crop is 'middle', not one of"):
        table.resolve("demo", ["evaluation_crop=middle"])


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_told_of_a_recipe_makes_it_again(name):
    plain = Recipe("plain", "convnext_atto", 32, 1, 1, 1e-3)
    told = overrides.format_overrides(RECIPES[name], fixed=("name",))
    again = overrides.apply_overrides(plain, told)
    assert dataclasses.replace(again, name=name) == RECIPES[name]
    # What is as it is by default is not told.
    assert not [text for text in told if text.startswith(("seed=", "keep_check"))]


def test_the_name_of_a_recipe_cannot_be_set():
    with pytest.raises(ValueError, match="there is no field 'name'"):
        table.resolve("demo", ["name=other"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "epochs is 0, not 1 or more"),
        ({"peak_lr": 0.0}, "peak_lr is 0.0, not above 0"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0, not in [0, 1)"),
        ({"ema_decay": -0.1}, "ema_decay is -0.1, not in [0, 1)"),
        ({"dropout_rate": 1.0}, "dropout_rate is 1.0, not in [0, 1)"),
        (
            {"dropout_rate": 0.1, "task": "detection"},
            "dropout_rate is 0.1, not in [0, 1), and 0 for detection",
        ),
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
