"""The operations that training steps spend their time in, each in all of its forms.

A plain form of `keras.ops`, for models that are run or exported and for backends that
compile everything anyway; under TensorFlow one that keeps less for the backward pass
and computes the rest again; and on its processors one that XLA compiles. `support`
says which of them a layer may use.
"""

from keras_convnext.kernels import dense, depthwise_conv, gelu, grn, layer_norm, support

__all__ = ["dense", "depthwise_conv", "gelu", "grn", "layer_norm", "support"]
