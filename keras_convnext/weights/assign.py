"""Puts a file's numbers into variables: checked and laid out by several threads."""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import keras
import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")

# More would wait for the memory, and each keeps a tensor in it.
_THREADS = min(2, os.cpu_count() or 1)
# Rows of a file's matrix that are copied at a time.
_STRIP = 256


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Yields `work(item)` in the order of the items.

    numpy lets other threads run while it works on large tensors. The threads are one
    item ahead and no more, so that few results are in memory at a time.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > _THREADS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def assign_all(
    variables: Iterable[keras.Variable], tensors: Iterable[np.ndarray]
) -> None:
    """Assigns each tensor, which may be a transposed view, to its variable."""
    variables = list(variables)
    in_tensorflow = keras.backend.backend() == "tensorflow"

    def lay_out(item: tuple[keras.Variable, np.ndarray]) -> Any:
        variable, tensor = item
        # TensorFlow does not show its memory in dtypes that Python has no word for.
        shown = in_tensorflow and variable.dtype == "float32"
        memory = _tensorflow_memory if shown else _memory
        value, numbers = memory(tensor.shape, variable.dtype)
        copy_in_strips(tensor, numbers)
        return value

    pairs = zip(variables, tensors, strict=True)
    for variable, value in zip(variables, in_threads(lay_out, pairs), strict=True):
        variable.assign(value)


def _memory(shape: tuple[int, ...], dtype: str) -> tuple[Any, np.ndarray]:
    """Returns what a variable can be assigned, and the numbers in it to fill."""
    numbers = np.empty(shape, np.dtype(dtype))
    return numbers, numbers


def _tensorflow_memory(shape: tuple[int, ...], dtype: str) -> tuple[Any, np.ndarray]:
    """Returns a new TensorFlow tensor, and a view of its memory to fill.

    A variable takes a tensor as it is, but numpy's numbers TensorFlow would copy once
    more, into fresh memory, which takes as long as laying them out. TensorFlow shows
    its memory for reading only; nobody else has this tensor yet.
    """
    import tensorflow as tf

    with tf.device("CPU:0"):
        tensor = tf.raw_ops.Empty(shape=shape, dtype=dtype)
    shown = np.asarray(memoryview(tensor))
    memory = (ctypes.c_byte * shown.nbytes).from_address(shown.ctypes.data)
    numbers = np.frombuffer(memoryview(memory), np.dtype(dtype))
    return tensor, numbers.reshape(shape)


def copy_in_strips(source: np.ndarray, target: np.ndarray) -> None:
    """Copies a tensor that may be transposed.

    numpy copies a transposed matrix whole in the target's order, which jumps through
    the source and takes several times as long.
    """
    if source.flags.c_contiguous:
        target[...] = source
        return
    axis = int(np.argmax(source.strides))
    for begin in range(0, source.shape[axis], _STRIP):
        strip = (slice(None),) * axis + (slice(begin, begin + _STRIP),)
        target[strip] = source[strip]
