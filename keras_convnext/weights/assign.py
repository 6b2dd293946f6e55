"""Puts a file's numbers into variables, by threads, in blocks that fit the cache."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial

import keras
import numpy as np

from keras_convnext.filling import Task, fill_variables, in_threads

# How many rows and columns of a file's matrix are copied at a time.
_BLOCK_ROWS, _BLOCK_COLUMNS = 512, 256
# Numbers between the rows of a block: rows at a distance of a power of two push each
# other out of the cache.
_GAP = 16
_CHECKED_AT_ONCE = 1 << 19


def are_finite(tensors: Iterable[np.ndarray]) -> Iterator[bool]:
    """Yields of each tensor, in order, whether it has neither NaN nor infinity."""
    jobs = ((tensor.nbytes, _checks(tensor)) for tensor in tensors)
    for parts in in_threads(jobs):
        yield all(parts)


def assign_all(
    variables: Iterable[keras.Variable], tensors: Iterable[np.ndarray]
) -> None:
    """Assigns each tensor, which may be a transposed view, to its variable."""
    fill_variables(variables, (partial(copies, tensor) for tensor in tensors))


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
