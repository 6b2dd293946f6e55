"""Which layers of a chain are computed at once: the rules of folding, in a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers as keras_layers

from keras_convnext.folding._algebra import (
    Affine,
    arrays,
    call_affine,
    call_with,
    copy,
    scale_and_offset,
    without_norm,
)
from keras_convnext.layers import (
    BatchNormalization,
    GlobalResponseNormalization,
    LayerNorm,
    LayerScale,
    PointwiseMLP,
    RMSNorm,
    ScaleByInverseStd,
    SimpleNorm,
    StochasticDepth,
)

NORMS = {LayerNorm: "layer", RMSNorm: "rms", SimpleNorm: "simple"}
BATCH_NORMS = (keras_layers.BatchNormalization, BatchNormalization)
TRAINING_ONLY = (StochasticDepth, keras_layers.Dropout)
_LINEAR = (keras_layers.Dense, keras_layers.Conv2D)
_BEFORE_BATCH_NORM = (
    *(*_LINEAR, keras_layers.Conv1D, keras_layers.Conv3D),
    keras_layers.DepthwiseConv2D,
)
_AVERAGE = keras_layers.GlobalAveragePooling2D


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


def _take_linear(chain: _Chain) -> tuple[keras.layers.Layer, Affine]:
    """Takes a linear layer and the batch norms behind it.

    Returns:
        The layer, and what it and the norms compute.
    """
    layer = chain.layers.pop(0)
    affine = Affine.of(layer)
    while chain.starts_with(BATCH_NORMS) and _is_of_outputs(chain.layers[0], layer):
        affine = affine.before(*scale_and_offset(chain.layers.pop(0)))
    return layer, affine


def _is_of_outputs(norm: keras.layers.Layer, layer: keras.layers.Layer) -> bool:
    """Returns True if a batch norm scales the outputs of a layer, one by one."""
    is_keras_own = type(norm).call in [kind.call for kind in BATCH_NORMS]
    if layer.activation is not keras.activations.linear or not is_keras_own:
        return False
    ndim = norm.input_spec.ndim
    is_first = getattr(layer, "data_format", None) == "channels_first"
    return bool(norm.axis % ndim == (1 if is_first else ndim - 1))


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
        is_unpadded = layer.padding == "valid" or set(layer.kernel_size) == {1}
        return bool(is_unpadded and layer.groups == 1)
    return isinstance(layer, keras_layers.Dense)


def _fuse_normalization(layers: list[keras.layers.Layer]) -> Fusion | None:
    """The input's normalization and the stem's convolution."""
    chain = _Chain(list(layers))
    if not chain.starts_with(keras_layers.Normalization, _LINEAR):
        return None
    normalization = chain.layers.pop(0)
    target, affine = _take_linear(chain)
    if not _takes_offset(target) or normalization.get_config().get("invert"):
        return None
    mean, variance = (
        np.ravel(keras.ops.convert_to_numpy(value)).astype(np.float64)
        for value in (normalization.mean, normalization.variance)
    )
    # As Keras' layer bounds it.
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    affine = affine.after(1 / deviation, -mean / deviation)
    length = len(layers) - len(chain.layers)
    return Fusion(length, lambda x: call_affine(target, x, affine))


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
    first = without_norm(norm, Affine.of(expand))
    second = Affine.of(project)
    values = [first.kernel, first.bias]
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
        gamma, beta = arrays(grn)
        second = second.after(np.ones_like(beta), beta)
    if scale:
        second = second.before(*arrays(scale))
    values += [second.kernel, second.bias]
    if grn:
        values += [gamma, np.zeros_like(gamma)]
    length = len(layers) - len(chain.layers)
    return Fusion(length, lambda x: call_with(new, x, values))


def _fuse_norm(layers: list[keras.layers.Layer]) -> Fusion | None:
    """A norm and the dense layer or convolution behind it, an average between."""
    chain = _Chain(list(layers))
    norm = chain.take(tuple(NORMS))
    between = []
    while layer := chain.take((_AVERAGE, *TRAINING_ONLY)):
        between.append(layer)
    if not norm or not chain.starts_with(_LINEAR) or not _takes_offset(chain.layers[0]):
        return None
    target, affine = _take_linear(chain)
    affine = without_norm(norm, affine)

    def call(x: Any) -> Any:
        x = ScaleByInverseStd(
            NORMS[type(norm)],
            norm.epsilon,
            name=norm.name,
            dtype=norm.dtype_policy,
        )(x)
        for layer in between:
            x = x if isinstance(layer, TRAINING_ONLY) else copy(layer)(x)
        return call_affine(target, x, affine)

    return Fusion(len(layers) - len(chain.layers), call)


def _fuse_batch_norm(layers: list[keras.layers.Layer]) -> Fusion | None:
    """A dense layer or convolution and the batch norms behind it."""
    chain = _Chain(list(layers))
    if not chain.starts_with(_BEFORE_BATCH_NORM, BATCH_NORMS):
        return None
    if not _is_of_outputs(layers[1], layers[0]):
        return None
    target, affine = _take_linear(chain)
    length = len(layers) - len(chain.layers)
    return Fusion(length, lambda x: call_affine(target, x, affine))


RULES = (_fuse_normalization, _fuse_block, _fuse_norm, _fuse_batch_norm)


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
