"""StochasticDepth: whole residual branches are dropped while training."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.layers.replica_seeds import next_seed


@keras.saving.register_keras_serializable(package="keras_convnext")
class StochasticDepth(keras.layers.Layer):
    """Drops each example's branch with probability `rate` while training.

    The examples that are kept are scaled by `1 / (1 - rate)`, so that the
    expected value does not change; at inference the layer does nothing. Under a
    `tf.distribute` strategy every replica draws rows of its own (a plain Keras
    seed generator would draw the same rows on all of them).

    Shapes: `(batch, ...)` in and out.

    Args:
        rate: Probability of dropping an example's branch, in [0, 1).
        seed: Whole number that makes the draws repeatable, or `None`.

    Raises:
        ValueError: `rate` is outside [0, 1).

    Source: arXiv:1603.09382.

    Example:
        >>> import numpy as np
        >>> from keras_convnext import layers
        >>> layer = layers.StochasticDepth(0.5)
        >>> rows = np.asarray(layer(np.ones((9, 1)), training=True))
        >>> sorted(set(rows.ravel()) | {0.0, 2.0}) == [0.0, 2.0]
        True
    """

    def __init__(
        self, rate: float = 0.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0.0 <= rate < 1.0:
            raise ValueError(
                f"StochasticDepth's rate is a probability in [0, 1), not {rate!r}."
            )
        self.rate = float(rate)
        self.seed = seed
        # Made here and not in `call`: inside a tf.function a variable may be
        # created only once, which distribution strategies run into.
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training or self.rate == 0.0:
            return inputs
        keep_rate = 1.0 - self.rate
        shape = (keras.ops.shape(inputs)[0],) + (1,) * (len(inputs.shape) - 1)
        kept = keras.ops.less(self._uniform(shape), keep_rate)
        scale = keras.ops.cast(kept, inputs.dtype) * keras.ops.cast(
            1.0 / keep_rate, inputs.dtype
        )
        return inputs * scale

    def _uniform(self, shape: tuple[Any, ...]) -> Any:
        """Returns float32 numbers in [0, 1), different ones on each replica."""
        if keras.backend.backend() != "tensorflow":
            return keras.random.uniform(
                shape, dtype="float32", seed=self.seed_generator
            )
        import tensorflow as tf

        seed = next_seed(self.seed_generator)
        return tf.random.stateless_uniform(shape, seed=seed, dtype=tf.float32)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
