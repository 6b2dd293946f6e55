"""What all layers of one model are made with, and the layers that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from keras_convnext.initializers import Constant, FastRandomNormal
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
        postponed: Given where weights will be loaded, so that most kernels need not
            be drawn: collects by layer name what the kernels would begin as, and
            they begin as zeros.
    """

    variant: Variant
    dtype: keras.DTypePolicy
    seeds: Iterator[int | None]
    remat: bool = False
    deferred_init: dict[str, keras.initializers.Initializer] | None = None

    @property
    def head_dtype(self) -> keras.DTypePolicy:
        """The policy of the head: float32 where the model computes in 16 bits."""
        if self.dtype.compute_dtype in ("float16", "bfloat16"):
            return keras.DTypePolicy("float32")
        return self.dtype

    def kernel(
        self, name: str, shape: tuple[int, ...] | None = None, scale: float = 1.0
    ) -> keras.initializers.Initializer:
        """Returns the initializer of the kernel of the layer called `name`.

        Args:
            name: The layer's.
            shape: The kernel's, where it is known before the layer is called: it is
                drawn while other layers are made.
            scale: Factor on the kernel.

        Source: Meta's and timm's code, `trunc_normal_(std=.02)`.
        """
        # That function cuts off at -2 and 2 and not at two deviations, so what it
        # draws is a normal distribution; Keras' TruncatedNormal would be narrower by
        # an eighth, and takes nearly twice as long.
        drawn = FastRandomNormal(stddev=0.02 * scale, seed=next(self.seeds))
        if self.deferred_init is None:
            if shape is not None:
                drawn.begin(shape)
            return drawn
        self.deferred_init[name] = drawn
        return Constant(0.0)

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
        channels: int | None = None,
        **kwargs: Any,
    ) -> layers.Layer:
        """Returns a dense convolution of `width` output channels.

        Args:
            width: Output channels.
            kernel_px: Side of the kernel.
            name: The layer's.
            channels: Input channels, where they are known already.
            **kwargs: Of `keras.layers.Conv2D`.
        """
        shape = None if channels is None else (kernel_px, kernel_px, channels, width)
        return layers.Conv2D(
            width,
            kernel_px,
            kernel_initializer=self.kernel(name, shape),
            bias_initializer=Constant(0.0),
            name=name,
            dtype=self.dtype,
            **kwargs,
        )

    def dense(self, channels: int, width: int, name: str) -> layers.Layer:
        """Returns a dense layer from `channels` to `width` channels."""
        return Dense(
            width,
            kernel_initializer=self.kernel(name, (channels, width)),
            bias_initializer=Constant(0.0),
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
