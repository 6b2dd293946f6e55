"""Puts a file's numbers into variables, by threads, in blocks that fit the cache."""

from __future__ import annotations

import ctypes
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import keras
import numpy as np

# More would wait for the memory.
_THREADS = min(4, os.cpu_count() or 1)
# Handing smaller tensors over to a thread takes as long as the work on them.
_LARGE_BYTES = 1 << 20
# Tensors that are worked on ahead of the one that is wanted; each lies in memory.
_MOST_AHEAD = 1
# How many rows and columns of a file's matrix are copied at a time.
_BLOCK_ROWS, _BLOCK_COLUMNS = 512, 256
# Numbers between the rows of a block: rows at a distance of a power of two push each
# other out of the cache.
_GAP = 16
_CHECKED_AT_ONCE = 1 << 19

Task = Callable[[], Any]


def are_finite(tensors: Iterable[np.ndarray]) -> Iterator[bool]:
    """Yields of each tensor, in order, whether it has neither NaN nor infinity."""
    jobs = ((tensor.nbytes, _checks(tensor)) for tensor in tensors)
    for parts in _in_threads(jobs):
        yield all(parts)


def assign_all(
    variables: Iterable[keras.Variable], tensors: Iterable[np.ndarray]
) -> None:
    """Assigns each tensor, which may be a transposed view, to its variable."""
    variables = list(variables)
    values: deque[Any] = deque()

    def jobs() -> Iterator[tuple[int, list[Task]]]:
        for variable, tensor in zip(variables, tensors, strict=True):
            value, numbers = _memory(variable, tensor.shape)
            values.append(value)
            yield tensor.nbytes, copies(tensor, numbers)

    for variable, _ in zip(variables, _in_threads(jobs()), strict=True):
        variable.assign(values.popleft())


def copies(source: np.ndarray, target: np.ndarray) -> list[Task]:
    """Returns the tasks that together copy a tensor, which may be transposed.

    Each of them copies some rows of what lies in the file.
    """
    # The axes in the order in which they lie in the source's memory.
    order = np.argsort([-stride for stride in source.strides], kind="stable")
    if np.array_equal(order, range(source.ndim)):
        return [partial(np.copyto, target, source, casting="unsafe")]
    rows, places = source.transpose(order), target.transpose(order)
    parts = [
        slice(begin, begin + _BLOCK_ROWS) for begin in range(0, len(rows), _BLOCK_ROWS)
    ]
    return [partial(_copy_in_blocks, rows[part], places[part]) for part in parts]


def _copy_in_blocks(source: np.ndarray, target: np.ndarray) -> None:
    """Copies what lies in rows to where it is to lie in columns.

    numpy copies in the order of the target, which jumps through the source; in pages
    of a file that takes several times as long as in a buffer that the cache holds.
    """
    inner = source.shape[2:]
    depth = math.prod(inner)
    columns = max(1, _BLOCK_COLUMNS // max(1, depth))
    buffer = np.empty((len(source), columns * depth + _GAP), target.dtype)
    for begin in range(0, source.shape[1], columns):
        piece = source[:, begin : begin + columns]
        block = buffer[:, : piece.shape[1] * depth].reshape(piece.shape)
        block[...] = piece
        target[:, begin : begin + columns] = block


def _checks(tensor: np.ndarray) -> list[Task]:
    if not tensor.flags.c_contiguous:
        return [partial(_is_finite, tensor)]
    numbers = tensor.reshape(-1)
    begins = range(0, max(1, numbers.size), _CHECKED_AT_ONCE)
    return [
        partial(_is_finite, numbers[begin : begin + _CHECKED_AT_ONCE])
        for begin in begins
    ]


def _is_finite(numbers: np.ndarray) -> bool:
    # One pass: the sum of squares is finite unless a number is not, or is huge.
    with np.errstate(over="ignore", invalid="ignore"):
        if numbers.dtype == np.float32 and numbers.ndim == 1:
            total = np.dot(numbers, numbers)
        else:
            total = numbers.sum(dtype=np.float32)
    return bool(np.isfinite(total) or np.isfinite(numbers).all())


def _in_threads(jobs: Iterable[tuple[int, list[Task]]]) -> Iterator[list[Any]]:
    """Yields the results of each job's tasks, in the order of the jobs.

    numpy lets other threads run while it works on many numbers.

    Args:
        jobs: How many bytes a job is about, and its tasks.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        ahead: deque[list[Future[Any]]] = deque()
        for size_bytes, tasks in jobs:
            run = _run if size_bytes < _LARGE_BYTES else pool.submit
            ahead.append([run(task) for task in tasks])
            while len(ahead) > _MOST_AHEAD:
                yield [future.result() for future in ahead.popleft()]
        while ahead:
            yield [future.result() for future in ahead.popleft()]


def _run(task: Task) -> Future[Any]:
    """Does a task here and now; returns what a thread's promise would be."""
    future: Future[Any] = Future()
    future.set_result(task())
    return future


def _memory(variable: keras.Variable, shape: tuple[int, ...]) -> tuple[Any, np.ndarray]:
    """Returns what a variable can be assigned, and the numbers in it to fill."""
    # TensorFlow does not show its memory in dtypes that Python has no word for.
    if keras.backend.backend() == "tensorflow" and variable.dtype == "float32":
        return _tensorflow_memory(shape)
    numbers = np.empty(shape, np.dtype(variable.dtype))
    return numbers, numbers


def _tensorflow_memory(shape: tuple[int, ...]) -> tuple[Any, np.ndarray]:
    """Returns a new TensorFlow tensor of float32, and a view of its memory to fill.

    A variable takes a tensor as it is, but numpy's numbers TensorFlow would copy once
    more, into fresh memory, which takes as long as laying them out. TensorFlow shows
    its memory for reading only; nobody else has this tensor yet.
    """
    import tensorflow as tf

    with tf.device("CPU:0"):
        tensor = tf.raw_ops.Empty(shape=shape, dtype="float32")
    shown = np.asarray(memoryview(tensor))
    memory = (ctypes.c_byte * shown.nbytes).from_address(shown.ctypes.data)
    numbers = np.frombuffer(memoryview(memory), np.float32)
    return tensor, numbers.reshape(shape)
