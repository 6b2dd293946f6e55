"""What all layers of one model are made with, and the layers that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from keras_convnext.initializers import EmptyKernel
from keras_convnext.layers import (
    Activation,
    Dense,
    LayerNorm,
    RMSNorm,
    SimpleNorm,
    gelu,
    gelu_tanh,
)
from keras_convnext.variants import Variant

NORMS = {"layer": LayerNorm, "rms": RMSNorm, "simple": SimpleNorm}
ACTIVATIONS = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": keras.activations.silu,
}


@dataclass(frozen=True)
class LayerFactory:
    """What all layers of one model are made with.

    Attributes:
        variant: The row that is built.
        dtype: Policy of every layer.
        seeds: Gives each initializer and each StochasticDepth a seed of its own.
        remat: Whether blocks forget their inner tensors until the backward pass.
    """

    variant: Variant
    dtype: keras.DTypePolicy
    seeds: Iterator[int | None]
    remat: bool = False

    @property
    def head_dtype(self) -> keras.DTypePolicy:
        """The policy of the head: float32 where the model computes in 16 bits."""
        if self.dtype.compute_dtype in ("float16", "bfloat16"):
            return keras.DTypePolicy("float32")
        return self.dtype

    def kernel(self, scale: float = 1.0) -> EmptyKernel:
        """Returns the initializer of a kernel, which `initializers.fill` draws.

        Args:
            scale: Factor on the kernel.

        Source: Meta's and timm's code, `trunc_normal_(std=.02)`.
        """
        # That function cuts off at -2 and 2 and not at two deviations, so what it
        # draws is a normal distribution; Keras' TruncatedNormal would be narrower by
        # an eighth, and takes nearly twice as long.
        return EmptyKernel(stddev=0.02 * scale, seed=next(self.seeds))

    def norm(self, name: str, dtype: keras.DTypePolicy | None = None) -> layers.Layer:
        """Returns the variant's norm over the channels."""
        return NORMS[self.variant.norm](
            epsilon=self.variant.norm_epsilon, name=name, dtype=dtype or self.dtype
        )

    def conv(
        self,
        width: int,
        kernel_px: int,
        name: str,
        **kwargs: Any,
    ) -> layers.Layer:
        """Returns a dense convolution of `width` output channels.

        Args:
            width: Output channels.
            kernel_px: Side of the kernel.
            name: The layer's.
            **kwargs: Of `keras.layers.Conv2D`.
        """
        return layers.Conv2D(
            width,
            kernel_px,
            kernel_initializer=self.kernel(),
            name=name,
            dtype=self.dtype,
            **kwargs,
        )

    def dense(self, width: int, name: str) -> layers.Layer:
        """Returns a dense layer of `width` output channels."""
        return Dense(
            width,
            kernel_initializer=self.kernel(),
            name=name,
            dtype=self.dtype,
        )

    def activation(
        self, name: str, dtype: keras.DTypePolicy | None = None
    ) -> layers.Layer:
        """Returns the variant's activation."""
        return Activation(
            ACTIVATIONS[self.variant.activation], name=name, dtype=dtype or self.dtype
        )
