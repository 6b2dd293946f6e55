"""Image files to upright pixels, and pixels to what a network is evaluated on."""

from keras_convnext.image._pixels import MAX_PIXELS, decode, evaluation_view

__all__ = ["MAX_PIXELS", "decode", "evaluation_view"]
