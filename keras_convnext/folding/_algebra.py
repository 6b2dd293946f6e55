"""What layers compute together, worked into fewer ones: the algebra of folding.

All of it in float64, from weights that are read and never written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers as keras_layers

from keras_convnext.layers import (
    GlobalResponseNormalization,
    LayerNorm,
    LayerScale,
    PointwiseMLP,
    RMSNorm,
    ScaleByInverseStd,
    SimpleNorm,
    StochasticDepth,
)
from keras_convnext.merged_weights import merged_values

NORMS = {LayerNorm: "layer", RMSNorm: "rms", SimpleNorm: "simple"}
TRAINING_ONLY = (StochasticDepth, keras_layers.Dropout)
_LINEAR = (keras_layers.Dense, keras_layers.Conv2D)
_AVERAGE = keras_layers.GlobalAveragePooling2D


@dataclass(frozen=True)
class Affine:
    """A kernel and a bias in float64.

    Attributes:
        kernel: `(..., inputs, outputs)`.
        bias: `(outputs,)`.
    """

    kernel: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, layer: keras.layers.Layer) -> Affine:
        """Returns the arrays of a dense layer or a convolution."""
        kernel, *bias = _arrays(layer)
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

    def times(self, factor: np.ndarray) -> Affine:
        """Returns the layer that multiplies its outputs by `factor`, `(outputs,)`."""
        return Affine(self.kernel * factor, self.bias * factor)


def _arrays(layer: keras.layers.Layer) -> list[np.ndarray]:
    return [value.astype(np.float64) for value in merged_values(layer)]


def _without_norm(norm: keras.layers.Layer, target: Affine) -> Affine:
    """Returns the layer behind a norm that does the linear part of the norm too."""
    gamma, *beta = _arrays(norm)
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
    layer: keras.layers.Layer, inputs: Any, arrays: Iterable[np.ndarray]
) -> Any:
    """Returns the output of a new layer and gives it its weights."""
    outputs = layer(inputs)
    layer.set_weights(list(arrays))
    return outputs


def _call_affine(layer: keras.layers.Layer, inputs: Any, affine: Affine) -> Any:
    """Returns the output of a copy of `layer` that computes with `affine`."""
    new = copy(layer, use_bias=True)
    return call_with(new, inputs, (affine.kernel, affine.bias))


@dataclass
class _Chain:
    """Layers that follow one another and feed nothing else on the way."""

    layers: list[keras.layers.Layer]

    def starts_with(self, *kinds: type | tuple[type, ...]) -> bool:
        """Returns True if the next layers are of these kinds."""
        head = self.layers[: len(kinds)]
        return len(head) == len(kinds) and all(map(isinstance, head, kinds))

    def take(self, kind: type | tuple[type, ...]) -> keras.layers.Layer | None:
        """Removes and returns the next layer if it is of this kind."""
        return self.layers.pop(0) if self.starts_with(kind) else None


@dataclass(frozen=True)
class Fusion:
    """A way to compute several layers at once.

    Attributes:
        length: How many layers of the chain it stands for.
        call: From the new input to the new output.
    """

    length: int
    call: Callable[[Any], Any]


def _takes_offset(layer: keras.layers.Layer) -> bool:
    """Returns True if an offset of the inputs can go into the layer's bias.

    Behind padding it cannot: the zeros around the image have no offset.
    """
    if isinstance(layer, keras_layers.Conv2D):
        return bool(layer.padding == "valid" and layer.groups == 1)
    return isinstance(layer, keras_layers.Dense)


def _fuse_normalization(layers: list[keras.layers.Layer]) -> Fusion | None:
    """The input's normalization and the stem's convolution."""
    chain = _Chain(list(layers))
    if not chain.starts_with(keras_layers.Normalization, _LINEAR):
        return None
    normalization, target = layers[:2]
    if not _takes_offset(target) or normalization.get_config().get("invert"):
        return None
    mean, variance = (
        np.ravel(keras.ops.convert_to_numpy(value)).astype(np.float64)
        for value in (normalization.mean, normalization.variance)
    )
    # As Keras' layer bounds it.
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    affine = Affine.of(target).after(1 / deviation, -mean / deviation)
    return Fusion(2, lambda x: _call_affine(target, x, affine))


def _fuse_block(layers: list[keras.layers.Layer]) -> Fusion | None:
    """Norm, expansion, activation, (GRN), projection and (layer scale) of a block."""
    chain = _Chain(list(layers))
    norm, expand = chain.take(tuple(NORMS)), chain.take(keras_layers.Dense)
    activation = chain.take(keras_layers.Activation)
    grn = chain.take(GlobalResponseNormalization)
    project = chain.take(keras_layers.Dense)
    if not (norm and expand and activation and project):
        return None
    # A head of norm, hidden layer and classifier is alike but for its names, which
    # are an interface: its last layer has to stay `head_dense`.
    if not expand.name.endswith("_expand"):
        return None
    if any(
        dense.activation is not keras.activations.linear for dense in (expand, project)
    ):
        return None
    scale = chain.take(LayerScale)
    first = _without_norm(norm, Affine.of(expand))
    second = Affine.of(project)
    arrays = [first.kernel, first.bias]
    new = PointwiseMLP(
        expand.units,
        activation.activation,
        norm=NORMS[type(norm)],
        epsilon=norm.epsilon,
        grn_epsilon=grn.epsilon if grn else None,
        name=f"{norm.name.removesuffix('_norm')}_mlp",
        dtype=expand.dtype_policy,
    )
    if grn:
        gamma, beta = _arrays(grn)
        second = second.after(np.ones_like(beta), beta)
    if scale:
        second = second.times(*_arrays(scale))
    arrays += [second.kernel, second.bias]
    if grn:
        arrays += [gamma, np.zeros_like(gamma)]
    length = len(layers) - len(chain.layers)
    return Fusion(length, lambda x: call_with(new, x, arrays))


def _fuse_norm(layers: list[keras.layers.Layer]) -> Fusion | None:
    """A norm and the dense layer or convolution behind it, an average between."""
    chain = _Chain(list(layers))
    norm = chain.take(tuple(NORMS))
    between = []
    while layer := chain.take((_AVERAGE, *TRAINING_ONLY)):
        between.append(layer)
    target = chain.take(_LINEAR)
    if not norm or not target or not _takes_offset(target):
        return None
    affine = _without_norm(norm, Affine.of(target))

    def call(x: Any) -> Any:
        x = ScaleByInverseStd(
            NORMS[type(norm)],
            norm.epsilon,
            name=norm.name,
            dtype=norm.dtype_policy,
        )(x)
        for layer in between:
            x = x if isinstance(layer, TRAINING_ONLY) else copy(layer)(x)
        return _call_affine(target, x, affine)

    return Fusion(2 + len(between), call)


RULES = (_fuse_normalization, _fuse_block, _fuse_norm)


def fuse(layers: list[keras.layers.Layer]) -> Fusion | None:
    """Returns how to compute the first few of a chain's layers at once, if at all.

    Args:
        layers: A chain: each takes what the one before gives, and nothing else does.
    """
    for rule in RULES:
        fusion = rule(layers)
        if fusion is not None:
            return fusion
    return None
