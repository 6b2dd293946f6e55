"""Keras layers that ConvNeXt needs and Keras does not have."""

from keras_convnext._renamed import module_getattr
from keras_convnext.layers.activations import Activation, gelu, gelu_tanh
from keras_convnext.layers.batch_norm import BatchNormalization
from keras_convnext.layers.dense import Dense
from keras_convnext.layers.depthwise_conv import DepthwiseConv2D
from keras_convnext.layers.dropout import Dropout
from keras_convnext.layers.grn import GlobalResponseNormalization
from keras_convnext.layers.layer_scale import LayerScale
from keras_convnext.layers.norm import LayerNorm, RMSNorm, SimpleNorm
from keras_convnext.layers.pointwise_mlp import PointwiseMLP
from keras_convnext.layers.rematerialized import Rematerialized
from keras_convnext.layers.stochastic_depth import StochasticDepth
from keras_convnext.layers.unit_scale import ScaleByInverseStd

__all__ = [
    "Activation",
    "BatchNormalization",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "GlobalResponseNormalization",
    "LayerNorm",
    "LayerScale",
    "PointwiseMLP",
    "RMSNorm",
    "Rematerialized",
    "ScaleByInverseStd",
    "SimpleNorm",
    "StochasticDepth",
    "gelu",
    "gelu_tanh",
]

__getattr__ = module_getattr(__name__, {"UnitScale": "ScaleByInverseStd"})
