"""The recipes that pre-train, against what is published."""

import pytest

from keras_convnext.variants import list_variants
from training.recipes import expected, table
from training.recipes.augmentation import Augmentation
from training.recipes.recipe import Recipe

SIZES = ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")


@pytest.mark.parametrize("size", SIZES)
def test_the_recipes_have_the_published_numbers(size):
    recipe = table.resolve(f"v2_{size}_fcmae_in1k")
    assert recipe.variant == f"convnextv2_{size}"
    assert recipe.variant in list_variants()
    # arXiv:2301.00808, appendix, pre-training settings; 2.4e-3 is 1.5e-4 * 4096 / 256.
    assert recipe.task == "masked_autoencoding"
    assert (recipe.size_px, recipe.mask_ratio) == (224, 0.6)
    assert (recipe.epochs, recipe.warmup_epochs) == (1600, 40)
    assert recipe.global_batch == 4096
    assert recipe.scaled_lr == pytest.approx(2.4e-3)
    assert (recipe.weight_decay, recipe.beta_1, recipe.beta_2) == (0.05, 0.9, 0.95)
    assert (recipe.schedule, recipe.min_lr, recipe.clip_norm) == ("cosine", 0.0, None)
    assert (recipe.stochastic_depth_rate, recipe.ema_decay) == (0.0, None)
    assert recipe.precision == "float32"
    # The authors' main_pretrain.py.
    assert recipe.augmentation == Augmentation(crop_scale=(0.2, 1.0), flip=True)
    assert expected.expect(recipe).data == "ImageNet-1k"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mask_ratio": 1.0}, "mask_ratio is 1.0, not between 0 and 1"),
        ({"ema_decay": 0.9}, "none for masked_autoencoding"),
        ({"dropout_rate": 0.1}, "and 0 for detection and masked_autoencoding"),
        ({"augmentation": Augmentation(mixup=0.8)}, "are not for pre-training"),
        ({"head_channels": 2}, "head_channels is of segmentation alone"),
    ],
)
def test_what_pre_training_has_not_is_refused(changes, text):
    numbers = {"size_px": 32, "epochs": 1, "global_batch": 1, "peak_lr": 1.0}
    arguments = {"name": "mine", "variant": "convnextv2_atto", **numbers, **changes}
    with pytest.raises(ValueError, match=text):
        Recipe(task="masked_autoencoding", **arguments)


def test_the_mask_ratio_is_of_pre_training_alone():
    with pytest.raises(ValueError, match="mask_ratio is of masked_autoencoding alone"):
        table.resolve("demo", ["mask_ratio=0.5"])
