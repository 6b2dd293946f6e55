"""The table of recipes, and how one is chosen and changed."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from . import overrides
from .ade20k import ADE20K_RECIPES
from .augmentation import Augmentation
from .box_augmentation import BoxAugmentation
from .coco import COCO_RECIPES
from .fcmae import FCMAE_RECIPES
from .mask_augmentation import MaskAugmentation
from .papers import PAPER_RECIPES
from .recipe import Recipe
from .targets import fit_to_choices

__all__ = ["RECIPES", "Recipe", "resolve"]

_TABLE = (
    # 32x32 images and a few minutes of two cores. Digits are no longer digits
    # when mirrored, so only small moves.
    Recipe(
        name="demo",
        variant="convnext_atto",
        size_px=32,
        patch_size=4,
        layer_scale_init_value=0.1,
        stochastic_depth_rate=0.1,
        epochs=25,
        warmup_epochs=3,
        global_batch=64,
        peak_lr=2e-3,
        ema_decay=0.99,
        augmentation=Augmentation(shift_px=2),
    ),
    # Thousands of small images, from random weights: CIFAR, or folders of
    # photographs with --set size_px=64 and more.
    Recipe(
        name="scratch_small",
        variant="convnext_atto",
        size_px=32,
        patch_size=2,
        layer_scale_init_value=1.0,
        stochastic_depth_rate=0.1,
        epochs=100,
        warmup_epochs=5,
        global_batch=128,
        peak_lr=2e-3,
        clip_norm=1.0,
        ema_decay=0.998,
        augmentation=Augmentation(
            flip=True, shift_px=4, cutmix=1.0, mix_probability=0.5
        ),
    ),
    # Hundreds of photographs, from weights trained on ImageNet: the new head first,
    # then all of it, the layers near the image the least.
    Recipe(
        name="finetune_small",
        variant="convnext_tiny",
        weights="imagenet",
        size_px=224,
        stochastic_depth_rate=0.1,
        head_init_scale=0.001,
        epochs=15,
        warmup_epochs=1,
        frozen_epochs=3,
        frozen_lr=1e-3,
        global_batch=32,
        peak_lr=2e-4,
        weight_decay=1e-2,
        layer_decay=0.8,
        clip_norm=1.0,
        keep="best",
        augmentation=Augmentation(crop_scale=(0.5, 1.0), flip=True),
    ),
    # Hundreds of images with masks, from weights trained on ImageNet. Heads of half the
    # published width are enough for them, at a third of the cost.
    Recipe(
        name="finetune_segment_small",
        task="segmentation",
        variant="convnext_tiny",
        weights="imagenet",
        size_px=512,
        stochastic_depth_rate=0.1,
        dropout_rate=0.1,
        head_channels=256,
        loss_over="valid",
        epochs=50,
        warmup_epochs=2,
        schedule="linear",
        global_batch=8,
        peak_lr=2e-4,
        min_lr=0.0,
        layer_decay=0.9,
        layer_assignment="stage",
        clip_norm=1.0,
        keep="best",
        mask_augmentation=MaskAugmentation(
            ratio_range=(0.5, 2.0), crop_max_share=0.75, flip=True, photometric=True
        ),
    ),
    # Hundreds of images with boxes, from weights trained on ImageNet. Squares of one
    # size, and fewer boxes than COCO's recipes learn from, are enough for them.
    Recipe(
        name="finetune_detect_small",
        task="detection",
        variant="convnext_tiny",
        weights="imagenet",
        size_px=512,
        stochastic_depth_rate=0.1,
        training_proposals=500,
        sampled_boxes=128,
        epochs=50,
        warmup_epochs=2,
        global_batch=4,
        peak_lr=2e-4,
        layer_decay=0.8,
        clip_norm=10.0,
        keep="best",
        box_augmentation=BoxAugmentation(flip=True, jitter=(0.5, 2.0)),
    ),
    # Thousands of images without labels, and a large network whose features a small one
    # learns. Crops, flip, batch and decay are those of pretrain_small.
    Recipe(
        name="distill_small",
        task="feature_distillation",
        variant="convnext_atto",
        teacher="convnext_base.fb_in22k",
        size_px=224,
        epochs=100,
        warmup_epochs=5,
        global_batch=64,
        peak_lr=1e-3,
        clip_norm=1.0,
        keep="best",
        augmentation=Augmentation(crop_scale=(0.4, 1.0), flip=True),
    ),
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        *_TABLE,
        *PAPER_RECIPES,
        *ADE20K_RECIPES,
        *COCO_RECIPES,
        *FCMAE_RECIPES,
    )
}


def resolve(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Returns a recipe of the table with some of its fields changed.

    Fewer epochs shorten the frozen ones and the warm-up; see `fit_to_epochs`.

    Args:
        name: Key in `RECIPES`.
        changes: Texts like "epochs=30" or "augmentation.flip=true".

    Raises:
        ValueError: There is no such recipe, or a change does not fit; all changes
            that do not fit are named at once.
    """
    if name not in RECIPES:
        closest = difflib.get_close_matches(name, RECIPES, n=3, cutoff=0.0)
        raise ValueError(
            f"there is no recipe called {name!r}; the closest are "
            f"{', '.join(closest)}; --recipe=help of the train command lists all"
        )
    fitting = [*fit_to_epochs(RECIPES[name], changes), *fit_to_choices(changes)]
    return overrides.apply_overrides(
        RECIPES[name], [*fitting, *changes], fixed=("name",)
    )


def fit_to_epochs(recipe: Recipe, changes: Sequence[str]) -> list[str]:
    """Returns the changes that fit frozen epochs and warm-up into fewer epochs.

    Both keep their share of the run where they would not fit as they are. What
    `changes` says of them stays.

    Args:
        recipe: Before the changes.
        changes: As in `resolve`.
    """
    said = dict(change.partition("=")[::2] for change in changes)
    text = said.get("epochs", "")
    if not text.isdecimal() or int(text) < 1:
        return []
    epochs = int(text)
    if recipe.frozen_epochs + recipe.warmup_epochs < epochs:
        return []
    share = epochs / recipe.epochs
    fitting = {
        "frozen_epochs": int(recipe.frozen_epochs * share),
        "warmup_epochs": round(recipe.warmup_epochs * share, 2),
    }
    return [
        f"{name}={value:g}"
        for name, value in fitting.items()
        if name not in said and value < getattr(recipe, name)
    ]
