"""Detection and instance segmentation: Mask R-CNN on ConvNeXt, and its parts."""

from keras_convnext.detection._anchors import anchors
from keras_convnext.detection._nms import nms
from keras_convnext.detection._roi_align import roi_align
from keras_convnext.detection._training_settings import (
    TrainingSettings,
    training_settings,
)
from keras_convnext.detection.box_coding import decode_boxes, encode_boxes
from keras_convnext.detection.cascade import CascadeMaskRCNN
from keras_convnext.detection.checkpoints import list_detectors
from keras_convnext.detection.inference import Objects, find_objects
from keras_convnext.detection.losses import detection_losses
from keras_convnext.detection.mask_rcnn import MaskRCNN
from keras_convnext.detection.overlay import draw_objects
from keras_convnext.detection.paste import paste_masks
from keras_convnext.detection.retina_net import from_retina_net
from keras_convnext.detection.training import training_model

__all__ = [
    "CascadeMaskRCNN",
    "MaskRCNN",
    "Objects",
    "TrainingSettings",
    "anchors",
    "decode_boxes",
    "detection_losses",
    "draw_objects",
    "encode_boxes",
    "find_objects",
    "from_retina_net",
    "list_detectors",
    "nms",
    "paste_masks",
    "roi_align",
    "training_model",
    "training_settings",
]
