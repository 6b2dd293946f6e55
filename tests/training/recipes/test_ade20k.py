"""The recipes for ADE20K, against what is published."""

import dataclasses

import pytest

from training.engine import train_state
from training.recipes import starting_weights, table
from training.recipes.ade20k import ADE20K_RECIPES
from training.recipes.expected import expect
from training.recipes.mask_augmentation import MaskAugmentation

# arXiv:2201.03545, table 7, and the authors' configurations: crop, learning rate,
# stochastic depth, weights, mixed precision, and single-scale mIoU of their README.
PUBLISHED = {
    "upernet_tiny_ade20k": (512, 1e-4, 0.4, "convnext_tiny.meta_1k_224", True, 46.0),
    "upernet_small_ade20k": (512, 1e-4, 0.3, "convnext_small.meta_1k_224", True, 48.7),
    "upernet_base_ade20k": (512, 1e-4, 0.4, "convnext_base.meta_1k_224", True, 49.1),
    "upernet_base_640_ade20k": (
        *(640, 1e-4, 0.4, "convnext_base.meta_22k_224", True, 52.6),
    ),
    "upernet_large_ade20k": (
        *(640, 1e-4, 0.4, "convnext_large.meta_22k_224", False, 53.2),
    ),
    "upernet_xlarge_ade20k": (
        *(640, 8e-5, 0.4, "convnext_xlarge.meta_22k_224", False, 53.6),
    ),
}


@pytest.mark.parametrize("recipe", ADE20K_RECIPES, ids=lambda recipe: recipe.name)
def test_the_recipes_have_the_published_numbers(recipe):
    crop, rate, depth, weights, is_mixed, miou = PUBLISHED[recipe.name]
    assert recipe.task == "segmentation"
    assert (recipe.size_px, recipe.peak_lr, recipe.scaled_lr) == (crop, rate, rate)
    assert recipe.stochastic_depth_rate == depth
    assert starting_weights.resolve(recipe).name == weights
    assert (recipe.precision == "mixed_float16") == is_mixed
    assert expect(recipe).miou == miou
    assert (recipe.global_batch, recipe.weight_decay) == (16, 0.05)
    assert (recipe.beta_1, recipe.beta_2, recipe.clip_norm) == (0.9, 0.999, None)
    assert (recipe.layer_decay, recipe.layer_assignment) == (0.9, "stage")
    assert (recipe.auxiliary_weight, recipe.loss_over) == (0.4, "all")
    assert (recipe.head_channels, recipe.dropout_rate) == (512, 0.1)
    assert (recipe.ema_decay, recipe.keep, recipe.reduce_zero_label) == (
        *(None, "last", True),
    )
    assert recipe.mask_augmentation == MaskAugmentation((0.5, 2.0), 0.75, True, True)


def test_every_published_training_has_a_recipe():
    assert [recipe.name for recipe in ADE20K_RECIPES] == list(PUBLISHED)


def test_the_learning_rate_goes_as_published_over_ade20ks_images():
    recipe = table.RECIPES["upernet_tiny_ade20k"]
    # 20,210 images in full batches of 16; the fewest epochs with 160,000 steps.
    steps = 20_210 // 16 * recipe.epochs
    assert 160_000 <= steps < 160_000 + 20_210 // 16
    schedule = train_state.schedule(recipe, steps)
    assert schedule.warmup_steps == 1_500
    assert schedule.start_lr == pytest.approx(1e-10)
    assert float(schedule(1_499)) == pytest.approx(1e-4)
    assert float(schedule(steps)) == 0.0


def test_a_published_upernet_may_be_trained_further():
    name = "upernet_convnext_tiny.ade20k_512"
    recipe = dataclasses.replace(table.RECIPES["finetune_segment_small"], weights=name)
    assert starting_weights.resolve(recipe).variant == "convnext_tiny"
    with pytest.raises(ValueError, match="upernet_convnext_tiny"):
        starting_weights.resolve(table.resolve("finetune_small", [f"weights={name}"]))


def test_a_field_of_another_task_is_refused():
    with pytest.raises(ValueError, match="label_smoothing is of classification alone"):
        table.resolve("finetune_segment_small", ["label_smoothing=0.2"])
    with pytest.raises(ValueError, match="head_channels is of segmentation alone"):
        table.resolve("demo", ["head_channels=64"])
