"""Readers: from a file of any of the formats to named tensors."""

from keras_convnext.weights.readers.open import open_tensors

__all__ = ["open_tensors"]
