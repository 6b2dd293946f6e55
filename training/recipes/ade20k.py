"""The paper's recipes for ADE20K: UPerNet, every number as published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .mask_augmentation import MaskAugmentation
from .recipe import Recipe

# 20,210 training images make 1,263 steps of 16 an epoch.
_STEPS_PER_EPOCH = 1263

# arXiv:2201.03545, appendix A.3 and table 7; what is not said there is in the authors'
# configurations, and in mmsegmentation 1.2.2's, which re-trained them: crops, 160,000
# steps with 1,500 of warm-up from a millionth of the rate, then a straight line to 0;
# AdamW without clipping, stage-wise layer decay, no moving average. The epochs are the
# first whole number with as many steps.
_UPERNET = Recipe(
    name="upernet",
    task="segmentation",
    variant="convnext_tiny",
    size_px=512,
    epochs=127,
    warmup_epochs=1500 / _STEPS_PER_EPOCH,
    warmup_start=1e-6,
    schedule="linear",
    min_lr=0.0,
    global_batch=16,
    peak_lr=1e-4,
    lr_batch=16,
    weight_decay=0.05,
    beta_1=0.9,
    beta_2=0.999,
    layer_decay=0.9,
    layer_assignment="stage",
    dropout_rate=0.1,
    head_channels=512,
    auxiliary_weight=0.4,
    loss_over="all",
    reduce_zero_label=True,
    mask_augmentation=MaskAugmentation(
        ratio_range=(0.5, 2.0), crop_max_share=0.75, flip=True, photometric=True
    ),
)
# Columns: variant, crop, weights, learning rate, stochastic depth, precision. Weights
# are those of pre-training's last step, not their moving average (appendix A.3).
# Precision is the authors': mixed but for L and XL.
_SIZES = {
    "tiny": ("tiny", 512, "meta_1k_224", 1e-4, 0.4, "mixed_float16"),
    "small": ("small", 512, "meta_1k_224", 1e-4, 0.3, "mixed_float16"),
    "base": ("base", 512, "meta_1k_224", 1e-4, 0.4, "mixed_float16"),
    "base_640": ("base", 640, "meta_22k_224", 1e-4, 0.4, "mixed_float16"),
    "large": ("large", 640, "meta_22k_224", 1e-4, 0.4, "float32"),
    "xlarge": ("xlarge", 640, "meta_22k_224", 8e-5, 0.4, "float32"),
}


def _upernets() -> Iterator[Recipe]:
    for name, (size, size_px, weights, peak_lr, rate, precision) in _SIZES.items():
        yield replace(
            _UPERNET,
            name=f"upernet_{name}_ade20k",
            variant=f"convnext_{size}",
            size_px=size_px,
            weights=weights,
            peak_lr=peak_lr,
            stochastic_depth_rate=rate,
            precision=precision,
        )


ADE20K_RECIPES = tuple(_upernets())
