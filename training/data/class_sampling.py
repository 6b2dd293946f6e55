"""An order of examples in which every class comes up equally often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .pixels import Numbered, epoch_key

if TYPE_CHECKING:
    import tensorflow as tf

    from ..augment.random_crop import Window
    from .examples import Examples


@dataclass(frozen=True, eq=False)
class EqualClasses(Numbered):
    """Examples that are shuffled so that every class comes up equally often.

    Attributes:
        examples: Any that have row numbers.
        labels: Their classes, int32 `(count,)`.
    """

    examples: Examples
    labels: np.ndarray

    def shuffled(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Returns row numbers in the order that the two numbers give."""
        import tensorflow as tf

        generator = np.random.default_rng(epoch_key(seed, epoch))
        return tf.data.Dataset.from_tensor_slices(draw_equally(self.labels, generator))

    def image(self, record: Any, window: Window | None = None) -> tuple[Any, Any]:
        """Returns the image and the label of a row."""
        return self.examples.image(record, window)

    def names(self) -> tuple[str, ...]:
        """Returns the images' file names."""
        return self.examples.names()


def draw_equally(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Returns as many rows as there are, equally many of each class, in random order.

    Where they cannot be equal, some classes, drawn at random, have one more. A row
    comes up again only when all others of its class have come up as often.

    Args:
        labels: Class numbers `(count,)`.
        generator: Where the draws come from.

    Returns:
        Row numbers, int64 `(count,)`.
    """
    classes = np.unique(labels)
    quotas = np.full(len(classes), len(labels) // len(classes))
    more = generator.permutation(len(classes))[: len(labels) % len(classes)]
    quotas[more] += 1
    drawn = []
    for name, quota in zip(classes, quotas, strict=True):
        rows = np.flatnonzero(labels == name)
        rounds = [generator.permutation(rows) for _ in range(-(-quota // len(rows)))]
        drawn.append(np.concatenate(rounds)[:quota])
    return generator.permutation(np.concatenate(drawn))
