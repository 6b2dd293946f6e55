"""Which form of an operation a layer may use."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras


def can_recompute(x: Any) -> bool:
    """Returns True if a tensor is one that the recomputing forms are for.

    Under JAX and PyTorch their compilers decide what is kept, and a symbolic tensor of
    Keras has no values yet.
    """
    return keras.backend.backend() == "tensorflow" and not isinstance(
        x, keras.KerasTensor
    )


def can_compile(x: Any, training: Any) -> bool:
    """Returns True if a layer's inputs are what the compiled forms are for."""
    return training is True and can_recompute(x) and not has_gpu()


@cache
def has_gpu() -> bool:
    """Returns True if TensorFlow sees a GPU, where no such gain has been measured."""
    import tensorflow as tf  # only under its own backend

    return bool(tf.config.list_physical_devices("GPU"))
