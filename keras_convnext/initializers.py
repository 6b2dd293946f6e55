"""How kernels begin: empty while a model is built, then drawn side by side.

Most of the time that building a large model takes would go into random numbers:
ConvNeXt-XLarge has 350 million. So layers are built with kernels that nobody has
written to. All that no weights are loaded into are drawn afterwards, by several cores,
from a table of the normal distribution's quantiles. 42 million numbers take 0.17 s of
processor time; with Keras' `RandomNormal` they take 0.84 s.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from functools import partial
from statistics import NormalDist
from typing import Any

import keras
import numpy as np

from keras_convnext.filling import Task, empty, fill_variables
from keras_convnext.merged_weights import inner_layers

# Under these names layers keep the initializers of their kernels.
_KEPT_AS = ("kernel_initializer", "depthwise_initializer")
_PLACES = 1 << 16
_SEEDS = 1 << 64
# Each piece has a stream of its own, so that the numbers do not depend on how many
# threads draw them. What a piece needs fits into a core's cache.
_PIECE = 1 << 17

# What files of version 0.1 call the initializers that models keep.
keras.saving.get_custom_objects().update(
    {
        "keras_convnext>TableNormal": keras.initializers.RandomNormal,
        "keras_convnext>Constant": keras.initializers.Constant,
    }
)


class EmptyKernel(keras.initializers.RandomNormal):
    """Leaves a kernel empty; `fill` draws it from this normal distribution.

    Args:
        mean: Of the distribution.
        stddev: Its standard deviation.
        seed: An integer; None takes one of Python's `random`, which
            `keras.utils.set_random_seed` sets.
    """

    is_filled = False

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns zeros, and after `fill` what it has drawn.

        Where Keras makes a model only to learn its shapes, as for one that is built in
        another layer's `build`, variables take their values when all is done.

        Args:
            shape: Of the tensor.
            dtype: Of its numbers; None is Keras' default.
        """
        value, numbers = empty(tuple(shape), keras.backend.standardize_dtype(dtype))
        if self.is_filled:
            for task in draws(self.seed, self.mean, self.stddev, numbers):
                task()
        return value


def fill(model: keras.Model, kept: Collection[str] | None = None) -> None:
    """Draws the kernels that were built empty.

    The layers keep Keras' own initializers, so that what is saved names nothing that
    has to be imported.

    Args:
        model: Its layers are built.
        kept: "<layer>/kernel" of those that no weights were loaded into; all of them,
            unless given.
    """
    begun = [
        (layer, name, getattr(layer, name))
        for layer in inner_layers(model)
        for name in _KEPT_AS
        if isinstance(getattr(layer, name, None), EmptyKernel)
    ]
    seeds = _of_first_worker([normal.seed for _, _, normal in begun])
    kernels, writers = [], []
    for (layer, name, normal), seed in zip(begun, seeds, strict=True):
        own = keras.initializers.RandomNormal(normal.mean, normal.stddev, seed)
        setattr(layer, name, own)
        normal.seed, normal.is_filled = seed, True
        if kept is None or f"{layer.name}/kernel" in kept:
            kernels.append(layer.kernel)
            writers.append(partial(draws, seed, normal.mean, normal.stddev))
    fill_variables(kernels, writers)


def draws(seed: int, mean: float, stddev: float, numbers: np.ndarray) -> list[Task]:
    """Returns the tasks that together fill an array with normally distributed numbers.

    They are the 65,536 middles of equally likely parts of the distribution, up to 4.3
    deviations, and the same for the same seed on every backend.

    Args:
        seed: Which numbers.
        mean: Of the distribution.
        stddev: Its standard deviation.
        numbers: What is filled, floats of any shape.
    """
    table = _table(mean, stddev).astype(numbers.dtype)
    flat = numbers.reshape(-1)

    def draw(number: int) -> None:
        piece = flat[number * _PIECE : (number + 1) * _PIECE]
        stream = np.random.SFC64(np.random.SeedSequence((seed % _SEEDS, number)))
        places = stream.random_raw(-(-piece.size // 4)).view(np.uint16)
        # No place is outside of the table: "wrap" only saves looking.
        places = places[: piece.size].astype(np.intp)
        np.take(table, places, out=piece, mode="wrap")

    return [partial(draw, number) for number in range(-(-flat.size // _PIECE))]


def _of_first_worker(seeds: list[int]) -> list[int]:
    """Returns the first worker's seeds, where several processes build a model."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        strategy = tf.distribute.get_strategy()
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Variables begin as the first worker's do, and are filled in each.
            return [int(seed) for seed in tf.Variable(seeds, dtype="int64").numpy()]
    return seeds


@functools.lru_cache(maxsize=16)
def _table(mean: float, stddev: float) -> np.ndarray:
    """Returns the quantiles of a normal distribution, float32 `(65536,)`."""
    return (mean + stddev * _quantiles()).astype(np.float32)


@functools.cache
def _quantiles() -> np.ndarray:
    """Returns the middles of equally likely parts of the normal distribution.

    Returns:
        float64 `(65536,)`, rising, of mean 0 and deviation 1.
    """
    inverse = NormalDist().inv_cdf
    lower = [inverse((place + 0.5) / _PLACES) for place in range(_PLACES // 2)]
    both = np.concatenate([lower, -np.array(lower[::-1])])
    scaled: np.ndarray = both / both.std()
    return scaled
