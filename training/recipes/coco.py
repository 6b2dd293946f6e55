"""The paper's recipes for COCO: Mask R-CNN and its cascade, numbers as published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .box_augmentation import BoxAugmentation
from .recipe import Recipe

# 118,287 training images make 7,392 steps of 16 an epoch.
_STEPS_PER_EPOCH = 7392

# arXiv:2201.03545, appendix A.3 and table 8; what is not said there is in the authors'
# configurations, and in mmdetection 3.3.0's, which re-trained them: 36 epochs, 1,000
# steps of warm-up from a thousandth of the rate, a tenth of it after 27 and 33; AdamW
# without clipping, layer decay by groups, no moving average.
_DETECTOR = Recipe(
    name="detector",
    task="detection",
    variant="convnext_tiny",
    size_px=800,
    epochs=36,
    warmup_epochs=1000 / _STEPS_PER_EPOCH,
    warmup_start=1e-3,
    schedule="step",
    min_lr=0.0,
    global_batch=16,
    peak_lr=1e-4,
    lr_batch=16,
    weight_decay=0.05,
    beta_1=0.9,
    beta_2=0.999,
    layer_decay=0.95,
    layer_assignment="group",
    box_augmentation=BoxAugmentation(
        flip=True, scale_range=(0.6, 1.0), scale_steps=11, crop_probability=0.5
    ),
)
_MIXED = "mixed_float16"
# Columns: detector, variant, weights, learning rate, layer decay, stochastic depth,
# precision. Precision is the authors': mixed but for L and XL.
_SIZES = {
    "mask_rcnn_tiny_coco": (
        *("mask_rcnn", "tiny", "meta_1k_224", 1e-4, 0.95, 0.4, _MIXED),
    ),
    "cascade_mask_rcnn_tiny_coco": (
        *("cascade_mask_rcnn", "tiny", "meta_1k_224", 2e-4, 0.7, 0.4, _MIXED),
    ),
    "cascade_mask_rcnn_small_coco": (
        *("cascade_mask_rcnn", "small", "meta_1k_224", 2e-4, 0.7, 0.6, _MIXED),
    ),
    "cascade_mask_rcnn_base_coco": (
        *("cascade_mask_rcnn", "base", "meta_1k_224", 2e-4, 0.8, 0.7, _MIXED),
    ),
    "cascade_mask_rcnn_base_22k_coco": (
        *("cascade_mask_rcnn", "base", "meta_22k_224", 1e-4, 0.8, 0.6, _MIXED),
    ),
    "cascade_mask_rcnn_large_22k_coco": (
        *("cascade_mask_rcnn", "large", "meta_22k_224", 1e-4, 0.7, 0.7, "float32"),
    ),
    "cascade_mask_rcnn_xlarge_22k_coco": (
        *("cascade_mask_rcnn", "xlarge", "meta_22k_224", 1e-4, 0.7, 0.8, "float32"),
    ),
}
# Boxes that the region proposal network hands on in training. Source: mmdetection
# 3.3.0, configs/_base_/models.
_PROPOSALS = {"mask_rcnn": 1000, "cascade_mask_rcnn": 2000}


def _detectors() -> Iterator[Recipe]:
    for name, row in _SIZES.items():
        detector, size, weights, peak_lr, layer_decay, rate, precision = row
        yield replace(
            _DETECTOR,
            name=name,
            detector=detector,
            variant=f"convnext_{size}",
            weights=weights,
            peak_lr=peak_lr,
            layer_decay=layer_decay,
            stochastic_depth_rate=rate,
            precision=precision,
            training_proposals=_PROPOSALS[detector],
        )


COCO_RECIPES = tuple(_detectors())
