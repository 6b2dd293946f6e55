"""Semantic segmentation: UPerNet on ConvNeXt, its metrics, large images."""

from keras_convnext.segmentation.checkpoints import list_upernets
from keras_convnext.segmentation.metrics import Scores, count_pixels, mean_iou, score
from keras_convnext.segmentation.pooling import AdaptiveAveragePooling2D
from keras_convnext.segmentation.resizing import ResizeLike
from keras_convnext.segmentation.sliding import sliding_logits
from keras_convnext.segmentation.upernet import UPerNet

__all__ = [
    "AdaptiveAveragePooling2D",
    "ResizeLike",
    "Scores",
    "UPerNet",
    "count_pixels",
    "list_upernets",
    "mean_iou",
    "score",
    "sliding_logits",
]
