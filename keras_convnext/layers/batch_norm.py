"""Batch normalization over all replicas of a `tf.distribute` strategy."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="keras_convnext")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' BatchNormalization, over the whole batch under several replicas.

    There Keras' own normalizes each replica's part by itself, and keeps the first
    replica's statistics alone. With `synchronized=True` it would not, but a model that
    was saved with that cannot be loaded under other backends, and with one replica it
    computes the variance in a less exact way. This one synchronizes where there are
    several replicas, and is Keras' own elsewhere.

    Shapes: `(batch, ..., channels)` in and out.

    Source: arXiv:1502.03167.

    Example:
        >>> import numpy as np
        >>> from keras_convnext import layers
        >>> tuple(layers.BatchNormalization()(np.ones((2, 7, 7, 8))).shape)
        (2, 7, 7, 8)
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        self.synchronized = _replicas() > 1
        return super().call(inputs, training=training, mask=mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "synchronized": False}


def _replicas() -> int:
    """Returns how many replicas compute this call; 1 where there is no strategy."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return 1 if context is None else int(context.num_replicas_in_sync)
