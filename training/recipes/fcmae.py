"""Recipes that pre-train without labels: the paper's, every number as published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .augmentation import Augmentation
from .recipe import Recipe

# arXiv:2301.00808, section 3.1 (mask_ratio) and appendix, pre-training settings; the
# rate is a "base" rate, for a batch of 256. Crops of 0.2 to 1 of the image, the flip,
# the end of the schedule and no clipping are the authors' code's, main_pretrain.py. The
# paper's best results are those of 1,600 epochs, its studies of 800.
_FCMAE = Recipe(
    name="fcmae",
    task="masked_autoencoding",
    variant="convnextv2_base",
    size_px=224,
    mask_ratio=0.6,
    epochs=1600,
    warmup_epochs=40,
    global_batch=4096,
    peak_lr=1.5e-4,
    lr_batch=256,
    min_lr=0.0,
    weight_decay=0.05,
    beta_1=0.9,
    beta_2=0.95,
    augmentation=Augmentation(crop_scale=(0.2, 1.0), flip=True),
)
_SIZES = ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")
# Thousands of images of one's own, from random weights or, with --weights=fcmae, from
# what ImageNet's images have taught.
_SMALL = replace(
    _FCMAE,
    name="pretrain_small",
    variant="convnextv2_atto",
    epochs=200,
    warmup_epochs=10,
    global_batch=64,
    peak_lr=5e-4,
    lr_batch=None,
    keep="best",
    augmentation=Augmentation(crop_scale=(0.4, 1.0), flip=True),
)


def _published() -> Iterator[Recipe]:
    for size in _SIZES:
        yield replace(
            _FCMAE, name=f"v2_{size}_fcmae_in1k", variant=f"convnextv2_{size}"
        )


FCMAE_RECIPES = (_SMALL, *_published())
