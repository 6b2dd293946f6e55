"""Seeds that differ from replica to replica of a `tf.distribute` strategy."""

from __future__ import annotations

from typing import Any

import keras

# An odd constant near 2**32 / golden ratio: seeds of neighboring layers differ
# by small numbers, so a replica's offset must not be one.
_REPLICA_STRIDE = 0x9E3779B1


def next_seed(generator: keras.random.SeedGenerator) -> Any:
    """Returns a generator's next seed, another one on each replica.

    Keras alone gives the same seed to all of them. The first replica, and whoever
    computes without a strategy, gets Keras' own. For TensorFlow.

    Args:
        generator: Of the layer that draws.

    Returns:
        An int64 tensor `(2,)` for the stateless functions of `tf.random`.
    """
    import tensorflow as tf

    seed = tf.cast(generator.next(), tf.int64)
    context = tf.distribute.get_replica_context()
    if context is None:
        return seed
    replica = tf.cast(context.replica_id_in_sync_group, tf.int64)
    return seed + tf.stack([replica * _REPLICA_STRIDE, tf.zeros_like(replica)])
