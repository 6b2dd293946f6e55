"""Dropout whose replicas drop different entries."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.layers.replica_seeds import next_seed


@keras.saving.register_keras_serializable(package="keras_convnext")
class Dropout(keras.layers.Dropout):
    """Keras' Dropout, with draws that differ from replica to replica.

    Under a `tf.distribute` strategy Keras' own drops the same entries on all of them.
    Without a strategy, and under other backends, both drop the same.

    Shapes: `(batch, ...)` in and out.

    Source: arXiv:1207.0580.

    Example:
        >>> import numpy as np
        >>> from keras_convnext import layers
        >>> dropped = np.asarray(layers.Dropout(0.5)(np.ones((2, 8)), training=True))
        >>> sorted(set(dropped.ravel()) | {0.0, 2.0}) == [0.0, 2.0]
        True
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        others = keras.backend.backend() != "tensorflow"
        if others or not training or not 0 < self.rate < 1:
            return super().call(inputs, training=training)
        import tensorflow as tf

        # What Keras makes of a seed, so that one replica drops what Keras would.
        seed = tf.math.floormod(next_seed(self.seed_generator), tf.int32.max - 1)
        noise_shape = self.noise_shape and [
            tf.shape(inputs)[axis] if side is None else side
            for axis, side in enumerate(self.noise_shape)
        ]
        return tf.nn.experimental.stateless_dropout(
            inputs,
            rate=self.rate,
            seed=tf.cast(seed, tf.int32),
            noise_shape=noise_shape,
        )
