"""Pre-training without labels: FCMAE, its masks, its loss, its images."""

from keras_convnext.pretraining.fcmae import FCMAE
from keras_convnext.pretraining.masking import count_visible, draw_orders
from keras_convnext.pretraining.reconstruction import (
    cut_patches,
    normalize_patches,
    reconstruct,
    reconstruction_losses,
)

__all__ = [
    "FCMAE",
    "count_visible",
    "cut_patches",
    "draw_orders",
    "normalize_patches",
    "reconstruct",
    "reconstruction_losses",
]
