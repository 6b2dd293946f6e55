"""What layers compute together, worked into fewer ones: the algebra of folding.

All of it in float64, from weights that are read and never written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers as keras_layers

from keras_convnext.layers import LayerNorm
from keras_convnext.merged_weights import merged_values


@dataclass(frozen=True)
class Affine:
    """A kernel and a bias in float64.

    Attributes:
        kernel: `(..., inputs, outputs)`; of a depthwise convolution `(..., outputs)`.
        bias: `(outputs,)`.
    """

    kernel: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, layer: keras.layers.Layer) -> Affine:
        """Returns the arrays of a dense layer or a convolution."""
        kernel, *bias = arrays(layer)
        if isinstance(layer, keras_layers.DepthwiseConv2D):
            kernel = kernel.reshape((*kernel.shape[:2], -1))
        return cls(kernel, bias[0] if bias else np.zeros(kernel.shape[-1]))

    def after(self, scale: np.ndarray, offset: np.ndarray) -> Affine:
        """Returns the layer that does this to `scale * x + offset`.

        Args:
            scale: A factor for each input, `(inputs,)`.
            offset: An offset for each input, `(inputs,)`.
        """
        taps = tuple(range(self.kernel.ndim - 1))
        shift = np.sum(self.kernel * offset[:, None], axis=taps)
        return Affine(self.kernel * scale[:, None], self.bias + shift)

    def centered(self) -> Affine:
        """Returns the layer that does this to `x - mean(x)` over the inputs."""
        mean = self.kernel.mean(axis=-2, keepdims=True)
        return Affine(self.kernel - mean, self.bias)

    def before(self, scale: np.ndarray, offset: np.ndarray | float = 0.0) -> Affine:
        """Returns the layer that gives `scale * y + offset` where this one gives `y`.

        Args:
            scale: A factor for each output, `(outputs,)`.
            offset: An offset for each output, `(outputs,)`.
        """
        return Affine(self.kernel * scale, self.bias * scale + offset)


def arrays(layer: keras.layers.Layer) -> list[np.ndarray]:
    """Returns a layer's weights in float64."""
    return [value.astype(np.float64) for value in merged_values(layer)]


def scale_and_offset(norm: keras.layers.Layer) -> tuple[np.ndarray, np.ndarray]:
    """Returns the factors and offsets of a batch norm at inference."""
    values = dict(zip((each.name for each in norm.weights), arrays(norm), strict=True))
    scale = values.get("gamma", 1.0) / np.sqrt(values["moving_variance"] + norm.epsilon)
    return scale, values.get("beta", 0.0) - values["moving_mean"] * scale


def without_norm(norm: keras.layers.Layer, target: Affine) -> Affine:
    """Returns the layer behind a norm that does the linear part of the norm too."""
    gamma, *beta = arrays(norm)
    taken = target.after(gamma, beta[0] if beta else np.zeros_like(gamma))
    return taken.centered() if isinstance(norm, LayerNorm) else taken


def copy(layer: keras.layers.Layer, **changes: Any) -> keras.layers.Layer:
    """Returns a new layer with the same settings, but no LoRA, not built.

    It gets its weights from elsewhere: Keras would draw random ones for a while.
    """
    settings = {
        name: "zeros" if name.endswith("_initializer") and value else value
        for name, value in layer.get_config().items()
        if not name.startswith("lora_")
    }
    return type(layer).from_config({**settings, **changes})


def call_with(
    layer: keras.layers.Layer, inputs: Any, values: Iterable[np.ndarray]
) -> Any:
    """Returns the output of a new layer and gives it its weights."""
    outputs = layer(inputs)
    layer.set_weights(list(values))
    return outputs


def call_affine(layer: keras.layers.Layer, inputs: Any, affine: Affine) -> Any:
    """Returns the output of a copy of `layer` that computes with `affine`."""
    new = copy(layer, use_bias=True)
    kernel = affine.kernel.reshape(layer.kernel.shape)
    return call_with(new, inputs, (kernel, affine.bias))
