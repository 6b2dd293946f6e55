"""How kernels begin: a normal distribution, drawn about as fast as memory takes it.

Most of the time that building a large model takes would go into random numbers:
ConvNeXt-XLarge has 350 million. Behind each one of Keras' `RandomNormal` stands a
formula with a logarithm and two trigonometric functions; here it is a place in a table.
What is known to be needed can be drawn meanwhile, by cores that have nothing to do.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from statistics import NormalDist
from typing import Any

import keras
import numpy as np

# Under these names layers keep the initializers that they were made with.
_KEPT_AS = ("kernel_initializer", "depthwise_initializer", "bias_initializer")
_PLACES = 1 << 16
_SEEDS = 1 << 64
# Each piece has a stream of its own, so that the numbers do not depend on how many
# threads draw them. What a piece needs fits into a core's cache.
_PIECE = 1 << 17
# TensorFlow takes memory as it is where it begins at a multiple of this.
_ALIGNMENT_BYTES = 64


# Registered under the name that files written by version 0.1 hold.
@keras.saving.register_keras_serializable("keras_convnext", name="TableNormal")
class FastRandomNormal(keras.initializers.RandomNormal):
    """Draws from a normal distribution, as Keras' `RandomNormal` does and faster.

    The numbers are others than Keras' for the same seed, and the same for the same
    seed on every backend and with any number of cores. They are the 65,536 middles of
    equally likely parts of the distribution, up to 4.3 deviations.

    Args:
        mean: Of the distribution.
        stddev: Its standard deviation.
        seed: An integer; None takes one of Python's `random`, which
            `keras.utils.set_random_seed` sets. With a `SeedGenerator` Keras draws.
    """

    def __init__(
        self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None
    ) -> None:
        super().__init__(mean, stddev, seed)
        self._begun: dict[tuple[int, ...], Callable[[], np.ndarray]] = {}

    def begin(self, shape: tuple[int, ...]) -> None:
        """Has other cores draw what the next call for this shape returns.

        Args:
            shape: Of the tensor.
        """
        if isinstance(self.seed, int):
            self._begun[shape] = self._draw(shape, ahead=True)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor.

        Args:
            shape: Of the tensor.
            dtype: Of its numbers; None is Keras' default.
        """
        if not isinstance(self.seed, int):
            return super().__call__(shape, dtype=dtype)
        draw = self._begun.pop(tuple(shape), None) or self._draw(shape)
        values = draw().reshape(shape)
        return _as_tensor(values, keras.backend.standardize_dtype(dtype))

    def _draw(self, shape: Any, ahead: bool = False) -> Callable[[], np.ndarray]:
        return _begin(math.prod(shape), self.seed, self.mean, self.stddev, ahead)


@keras.saving.register_keras_serializable(package="keras_convnext")
class Constant(keras.initializers.Constant):
    """Gives every entry one value, as Keras' `Constant` does, in memory of NumPy's.

    A model has hundreds of biases, scales and offsets, and three operations of
    TensorFlow take longer than to write one of them down.

    Args:
        value: Of every entry.
    """

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor.

        Args:
            shape: Of the tensor.
            dtype: Of its numbers; None is Keras' default.
        """
        dtype = keras.backend.standardize_dtype(dtype)
        if dtype != "float32":
            return super().__call__(shape, dtype)
        values = _aligned(math.prod(shape))
        if self.value:
            values.fill(self.value)
        return _as_tensor(values.reshape(shape), dtype)


def hand_over(layers: Iterable[keras.layers.Layer]) -> None:
    """Puts Keras' own initializers in the place of ours, where layers keep them.

    For layers that are built: what is saved then names nothing that has to be imported.

    Args:
        layers: Of any kind.
    """
    for layer in layers:
        for name in _KEPT_AS:
            ours = getattr(layer, name, None)
            if isinstance(ours, FastRandomNormal):
                own = keras.initializers.RandomNormal(ours.mean, ours.stddev, ours.seed)
                setattr(layer, name, own)
            elif isinstance(ours, Constant):
                setattr(layer, name, keras.initializers.Constant(ours.value))


def draw_normal(
    count: int, seed: int, mean: float = 0.0, stddev: float = 1.0
) -> np.ndarray:
    """Returns normally distributed numbers, drawn by all cores.

    Args:
        count: How many.
        seed: Which ones.
        mean: Of the distribution.
        stddev: Its standard deviation.

    Returns:
        float32 `(count,)`.
    """
    return _begin(count, seed, mean, stddev, ahead=False)()


def _begin(
    count: int, seed: int, mean: float, stddev: float, ahead: bool
) -> Callable[[], np.ndarray]:
    """Has other cores begin to draw; returns what helps them and gives the numbers.

    Args:
        count: How many.
        seed: Which ones.
        mean: Of the distribution.
        stddev: Its standard deviation.
        ahead: Whether the numbers are not needed yet.
    """
    table = _table(float(mean), float(stddev))
    values = _aligned(count)
    last = -(-count // _PIECE)
    # Whoever has time takes the next one.
    waiting = iter(range(last))

    def work() -> None:
        for number in waiting:
            piece = values[number * _PIECE : (number + 1) * _PIECE]
            stream = np.random.SFC64(np.random.SeedSequence((seed % _SEEDS, number)))
            places = stream.random_raw(-(-piece.size // 4)).view(np.uint16)
            # No place is outside of the table: "wrap" only saves looking.
            places = places[: piece.size].astype(np.intp)
            np.take(table, places, out=piece, mode="wrap")

    threads, most = _threads()
    # Without time ahead one piece is the caller's.
    helpers = min(most, last if ahead else last - 1)
    others = [threads.submit(work) for _ in range(helpers)]

    def numbers() -> np.ndarray:
        work()
        for other in others:
            if not other.cancel():  # it has begun, and may be at a piece
                other.result()
        return values

    return numbers


@functools.lru_cache(maxsize=16)
def _table(mean: float, stddev: float) -> np.ndarray:
    """Returns the quantiles of a normal distribution, float32 `(65536,)`."""
    return (mean + stddev * _quantiles()).astype(np.float32)


@functools.cache
def _threads() -> tuple[ThreadPoolExecutor, int]:
    """Returns threads for all kernels, and how many: the one that asks draws too."""
    count = max(1, (os.cpu_count() or 1) - 1)
    return ThreadPoolExecutor(count), count


if hasattr(os, "register_at_fork"):
    # Threads do not live on in a process that is forked off.
    os.register_at_fork(after_in_child=_threads.cache_clear)


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


def _aligned(count: int) -> np.ndarray:
    """Returns float32 `(count,)`, zero, that TensorFlow need not copy."""
    # Much memory comes with zeros from the system, which writes none until it is used.
    memory = np.zeros(4 * count + _ALIGNMENT_BYTES, np.uint8)
    address: int = memory.__array_interface__["data"][0]
    begin = -address % _ALIGNMENT_BYTES
    return memory[begin : begin + 4 * count].view(np.float32)


def _as_tensor(values: np.ndarray, dtype: str) -> Any:
    """Returns a tensor of the backend, where it can be of the same memory."""
    if keras.backend.backend() == "tensorflow" and dtype == "float32":
        import tensorflow as tf

        if tf.executing_eagerly():
            return tf.experimental.dlpack.from_dlpack(values.__dlpack__())
    return keras.ops.convert_to_tensor(values, dtype=dtype)
