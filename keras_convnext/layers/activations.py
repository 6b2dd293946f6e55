"""GELU in forms that every runtime understands and every model file can name."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext import kernels


@keras.saving.register_keras_serializable(package="keras_convnext")
def gelu(x: Any) -> Any:
    """Returns `x * Phi(x)`, Phi being the normal distribution function.

    Written with `erf`, equal to `keras.activations.gelu(approximate=False)` to
    1e-6. TensorFlow emits the op `Erfc` for the latter, which ONNX and TF.js do
    not know; the `erf` form is also the faster one, and TFLite fuses it into its
    own GELU.

    Args:
        x: Tensor of any shape.

    Source: arXiv:1606.08415.

    Example:
        >>> import numpy as np
        >>> from keras_convnext import layers
        >>> np.round(layers.gelu(np.array([-1.0, 0.0, 1.0], "float32")), 4)
        array([-0.1587,  0.    ,  0.8413], dtype=float32)
    """
    if kernels.support.can_recompute(x):
        return kernels.gelu.recompute(x)
    return kernels.gelu.plain(x)


@keras.saving.register_keras_serializable(package="keras_convnext")
def gelu_tanh(x: Any) -> Any:
    """Returns GELU's tanh approximation, at most 4.8e-4 from the exact one.

    Args:
        x: Tensor of any shape.

    Source: arXiv:1606.08415, section 2.

    Example:
        >>> import numpy as np
        >>> from keras_convnext import layers
        >>> np.round(layers.gelu_tanh(np.array([-1.0, 0.0, 1.0], "float32")), 4)
        array([-0.1588,  0.    ,  0.8412], dtype=float32)
    """
    return keras.activations.gelu(x, approximate=True)


@keras.saving.register_keras_serializable(package="keras_convnext")
class Activation(keras.layers.Activation):
    """`keras.layers.Activation` whose GELU is one loop over memory while training.

    Same arguments and results; any shape in, the same out.

    Example:
        >>> import numpy as np
        >>> from keras_convnext import layers
        >>> np.asarray(layers.Activation("gelu")(np.zeros(3, "float32")))
        array([0., 0., 0.], dtype=float32)
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.activation is gelu and kernels.support.can_compile(inputs, training):
            return kernels.gelu.compiled(inputs)
        return super().call(inputs)
