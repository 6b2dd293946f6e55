"""Keras layers that ConvNeXt needs and Keras does not have."""

from keras_convnext.layers.activations import gelu, gelu_tanh
from keras_convnext.layers.grn import GlobalResponseNormalization
from keras_convnext.layers.layer_scale import LayerScale
from keras_convnext.layers.norm import LayerNorm, RMSNorm, SimpleNorm
from keras_convnext.layers.rematerialized import Rematerialized
from keras_convnext.layers.stochastic_depth import StochasticDepth

__all__ = [
    "GlobalResponseNormalization",
    "LayerNorm",
    "LayerScale",
    "RMSNorm",
    "Rematerialized",
    "SimpleNorm",
    "StochasticDepth",
    "gelu",
    "gelu_tanh",
]
