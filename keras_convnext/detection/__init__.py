"""Detection and instance segmentation: the parts of Mask R-CNN."""

from keras_convnext.detection._anchors import anchors
from keras_convnext.detection._nms import nms
from keras_convnext.detection._roi_align import roi_align
from keras_convnext.detection.box_coding import decode_boxes, encode_boxes
from keras_convnext.detection.paste import paste_masks

__all__ = [
    "anchors",
    "decode_boxes",
    "encode_boxes",
    "nms",
    "paste_masks",
    "roi_align",
]
