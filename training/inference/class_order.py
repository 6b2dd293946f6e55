"""Which of a model's outputs is which class of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_convnext._messages import UsageError


def find_order(classes: Sequence[str], model: Any) -> np.ndarray:
    """Returns, for each class of the data, the model's number for it.

    Args:
        classes: Of the data.
        model: Its `labels` are used, and `synsets` where it has them.

    Raises:
        UsageError: The model has no such class.
    """
    labels = model.labels
    synsets = getattr(model, "synsets", ())
    if synsets and set(classes) <= set(synsets):
        labels = synsets
    if list(labels) == [f"class {number}" for number in range(len(classes))]:
        # The model's names are unknown: the data's order is all there is.
        return np.arange(len(classes))
    missing = [name for name in classes if name not in labels]
    if missing:
        raise UsageError(
            f"the data's classes {', '.join(missing[:5])} are not among the model's "
            f"{len(labels)} ({', '.join(labels[:5])} ...)"
        )
    return np.array([labels.index(name) for name in classes])
