"""Draws the validation examples of data that have none of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

_Example = TypeVar("_Example")


def draw_split(
    examples: Sequence[_Example], share: float, seed: int | np.random.Generator
) -> tuple[tuple[_Example, ...], tuple[_Example, ...]]:
    """Splits examples at random, in their order, at least one on either side.

    Args:
        examples: At least two, or all are in the first part.
        share: What the second part gets.
        seed: A number, or the generator that draws.
    """
    count = min(max(1, round(len(examples) * share)), len(examples) - 1)
    order = np.random.default_rng(seed).permutation(len(examples))
    chosen = set(order[:count].tolist())
    first = tuple(each for i, each in enumerate(examples) if i not in chosen)
    return first, tuple(each for i, each in enumerate(examples) if i in chosen)
