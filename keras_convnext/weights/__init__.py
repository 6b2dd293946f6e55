"""Weights: published checkpoints by name, and files of every dialect and format."""

from keras_convnext._renamed import module_getattr
from keras_convnext.weights._load import load
from keras_convnext.weights.description import describe
from keras_convnext.weights.errors import (
    BadWeightsFileError,
    DownloadError,
    WeightsMismatchError,
)
from keras_convnext.weights.pretrained import PretrainedWeights
from keras_convnext.weights.registry import find, list_weights, resolve
from keras_convnext.weights.report import Report
from keras_convnext.weights.save import save_weights_as

__all__ = [
    "BadWeightsFileError",
    "DownloadError",
    "PretrainedWeights",
    "Report",
    "WeightsMismatchError",
    "describe",
    "find",
    "list_weights",
    "load",
    "resolve",
    "save_weights_as",
]

__getattr__ = module_getattr(__name__, {"Record": "PretrainedWeights"})
