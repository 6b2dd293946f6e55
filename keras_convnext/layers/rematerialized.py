"""Gradient checkpointing of a chain of layers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="keras_convnext")
class Rematerialized(keras.layers.Layer):
    """Runs layers one after another and forgets what lies between them.

    While training, only the input is kept; the backward pass computes the rest
    again. Less memory for about a third more arithmetic. Shapes: any shape that the
    first layer takes, and what the last one gives.

    Args:
        layers: The layers, in order; each takes one tensor and returns one.

    Attributes:
        layers: The same list; their names are what they would be outside.

    Example:
        >>> import numpy as np
        >>> from keras_convnext import layers
        >>> branch = layers.Rematerialized([layers.Dense(16), layers.LayerNorm()])
        >>> tuple(branch(np.ones((2, 8))).shape)
        (2, 16)
    """

    def __init__(self, layers: Sequence[keras.layers.Layer], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layers = list(layers)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for layer in self.layers:
            if not layer.built:  # as it is when it comes from a saved model
                layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        def chain(x: Any) -> Any:
            for layer in self.layers:
                # Said to each: what is computed again, in the backward pass, is
                # computed outside of this call, where Keras would not know.
                given = {"training": training} if _asks(layer) else {}
                x = layer(x, **given)
            return x

        return keras.remat(chain)(inputs) if training else chain(inputs)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": layers}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Rematerialized:
        layers = [
            keras.saving.deserialize_keras_object(layer) for layer in config["layers"]
        ]
        return cls(**{**config, "layers": layers})


def _asks(layer: keras.layers.Layer) -> bool:
    """Returns True if a layer wants to know if it is training."""
    return "training" in inspect.signature(layer.call).parameters
