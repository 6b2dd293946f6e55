"""How many images each class has, and a word where that is very uneven."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .source import Source

if TYPE_CHECKING:
    from .examples import Examples

# From here on accuracy says little of the smaller classes.
_UNEVEN = 3.0


def counts(examples: Examples, classes: int) -> np.ndarray | None:
    """Returns how many examples each class has, or None where nobody has counted.

    Args:
        examples: Only those that come one after the other do not know.
        classes: How many classes there are.
    """
    labels = getattr(examples, "labels", None)
    if labels is None:
        return None
    if labels.ndim == 2:
        return labels.sum(axis=0).astype(int)
    return np.bincount(labels, minlength=classes)


def notices(source: Source) -> tuple[str, ...]:
    """Returns a line on the classes of the data that are uneven."""
    if not source.classes:
        return ()
    number = counts(source.training, len(source.classes))
    if number is None or number.max() < _UNEVEN * number.min():
        return ()
    most, least = int(number.argmax()), int(number.argmin())
    ratio = number[most] / max(number[least], 1)
    return (
        f"the classes are uneven, {ratio:.3g} to 1: {number[most]:,} images of "
        f"{source.classes[most]} and {number[least]:,} of {source.classes[least]}. "
        "Accuracy hides how the small ones fare: look at each by itself",
    )
