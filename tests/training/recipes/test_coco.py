"""The recipes for COCO, against what is published."""

import pytest

from keras_convnext.detection import list_detectors
from training.engine import train_state
from training.recipes import starting_weights, table
from training.recipes.box_augmentation import BoxAugmentation
from training.recipes.coco import COCO_RECIPES
from training.recipes.expected import expect

# arXiv:2201.03545, table 8, and the authors' configurations: learning rate, layer
# decay, stochastic depth, weights, mixed precision; box and mask AP of their README.
PUBLISHED = {
    "mask_rcnn_tiny_coco": (
        *(1e-4, 0.95, 0.4, "convnext_tiny.meta_1k_224", True, 46.2, 41.7),
    ),
    "cascade_mask_rcnn_tiny_coco": (
        *(2e-4, 0.7, 0.4, "convnext_tiny.meta_1k_224", True, 50.4, 43.7),
    ),
    "cascade_mask_rcnn_small_coco": (
        *(2e-4, 0.7, 0.6, "convnext_small.meta_1k_224", True, 51.9, 45.0),
    ),
    "cascade_mask_rcnn_base_coco": (
        *(2e-4, 0.8, 0.7, "convnext_base.meta_1k_224", True, 52.7, 45.6),
    ),
    "cascade_mask_rcnn_base_22k_coco": (
        *(1e-4, 0.8, 0.6, "convnext_base.meta_22k_224", True, 54.0, 46.9),
    ),
    "cascade_mask_rcnn_large_22k_coco": (
        *(1e-4, 0.7, 0.7, "convnext_large.meta_22k_224", False, 54.8, 47.6),
    ),
    "cascade_mask_rcnn_xlarge_22k_coco": (
        *(1e-4, 0.7, 0.8, "convnext_xlarge.meta_22k_224", False, 55.2, 47.7),
    ),
}


@pytest.mark.parametrize("recipe", COCO_RECIPES, ids=lambda recipe: recipe.name)
def test_the_recipes_have_the_published_numbers(recipe):
    rate, decay, depth, weights, is_mixed, box_ap, mask_ap = PUBLISHED[recipe.name]
    assert recipe.task == "detection"
    assert recipe.name.startswith(recipe.detector)
    assert (recipe.peak_lr, recipe.scaled_lr) == (rate, rate)
    assert (recipe.layer_decay, recipe.layer_assignment) == (decay, "group")
    assert recipe.stochastic_depth_rate == depth
    assert starting_weights.resolve(recipe).name == weights
    assert (recipe.precision == "mixed_float16") == is_mixed
    assert (expect(recipe).box_ap, expect(recipe).mask_ap) == (box_ap, mask_ap)
    assert (recipe.size_px, recipe.epochs, recipe.global_batch) == (800, 36, 16)
    assert (recipe.beta_1, recipe.beta_2, recipe.weight_decay) == (0.9, 0.999, 0.05)
    assert (recipe.clip_norm, recipe.ema_decay, recipe.keep) == (None, None, "last")
    assert (recipe.pyramid_channels, recipe.head_units) == (256, 1024)
    proposals = 2000 if recipe.detector.startswith("cascade") else 1000
    assert (recipe.training_proposals, recipe.sampled_boxes) == (proposals, 512)
    assert recipe.box_augmentation == BoxAugmentation(
        flip=True, scale_range=(0.6, 1.0), scale_steps=11, crop_probability=0.5
    )


def test_every_training_by_the_papers_authors_has_a_recipe():
    assert [recipe.name for recipe in COCO_RECIPES] == list(PUBLISHED)
    assert len(PUBLISHED) == len(list_detectors("*.coco*"))


def test_the_learning_rate_goes_as_published_over_cocos_images():
    recipe = table.RECIPES["mask_rcnn_tiny_coco"]
    each = 118_287 // 16
    schedule = train_state.schedule(recipe, each * recipe.epochs)
    steps = [0, 999, 27 * each - 1, 27 * each, 33 * each - 1, 33 * each]
    expected = [1e-7, 1e-4, 1e-4, 1e-5, 1e-5, 1e-6]
    # float32 against float64.
    assert [float(schedule(step)) for step in steps] == pytest.approx(expected, 1e-5)
