"""Semantic segmentation: UPerNet on ConvNeXt, its metrics, large images."""

from keras_convnext.segmentation.checkpoints import list_upernets
from keras_convnext.segmentation.inference import predict_label_map, to_label_map
from keras_convnext.segmentation.metrics import Scores, count_pixels, mean_iou, score
from keras_convnext.segmentation.palette import ade20k_classes, overlay, palette_for
from keras_convnext.segmentation.pooling import AdaptiveAveragePooling2D
from keras_convnext.segmentation.pyramid_conv import PyramidConv2D
from keras_convnext.segmentation.resizing import ResizeLike
from keras_convnext.segmentation.sliding import sliding_logits
from keras_convnext.segmentation.upernet import UPerNet
from keras_convnext.whole_images import resized_shape

__all__ = [
    "AdaptiveAveragePooling2D",
    "PyramidConv2D",
    "ResizeLike",
    "Scores",
    "UPerNet",
    "ade20k_classes",
    "count_pixels",
    "list_upernets",
    "mean_iou",
    "overlay",
    "palette_for",
    "predict_label_map",
    "resized_shape",
    "score",
    "sliding_logits",
    "to_label_map",
]
