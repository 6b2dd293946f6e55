"""How many images each class has, and weights that make up for uneven classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_convnext._data.data_error import DataError

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


def check(source: Source, balance: str) -> None:
    """Makes sure that the classes of the data can be balanced.

    Args:
        source: The run's.
        balance: The recipe's `class_balance`.

    Raises:
        DataError: Nobody knows the classes of these images beforehand.
    """
    if balance == "none" or counts(source.training, len(source.classes)) is not None:
        return
    raise DataError(
        f"{source.name}: class_balance={balance} must know the class of every image "
        "beforehand, and these are read one after the other; take class_balance=none, "
        "or give the images as folder:, files:, array:, tfrecord: or array_record:"
    )


def class_weights(source: Source) -> np.ndarray:
    """Returns the factor on the loss of each class's images, float32 `(classes,)`.

    All images over the number of classes and the class's own images: each class counts
    the same, and the mean over the training images is 1. Classes without training
    images do not count, and have 1. Source: scikit-learn's
    `compute_class_weight("balanced")`; King and Zeng, 2001.
    """
    number = _counted(source)
    seen = number > 0
    weights = np.ones(len(number), np.float32)
    weights[seen] = number.sum() / (seen.sum() * number[seen])
    return weights


def positive_weights(source: Source) -> np.ndarray:
    """Returns the factor on each label where it applies, float32 `(labels,)`.

    The images without the label over those with it, so that both sides of each
    decision count the same; 1 for labels that no training image has.
    """
    number = _counted(source)
    weights = np.ones(len(number), np.float32)
    seen = number > 0
    weights[seen] = (source.train_examples - number[seen]) / number[seen]
    return weights


def _counted(source: Source) -> np.ndarray:
    number = counts(source.training, len(source.classes))
    assert number is not None  # `check` has made sure of it.
    return number


def notices(source: Source, balance: str = "none") -> tuple[str, ...]:
    """Returns a line on the classes of the data that are uneven, or were balanced.

    Args:
        source: The run's.
        balance: The recipe's `class_balance`.
    """
    if not source.classes:
        return ()
    number = counts(source.training, len(source.classes))
    if number is None:
        return ()
    if balance != "none":
        return (_in_words(source, balance),)
    if number.max() < _UNEVEN * number.min():
        return ()
    most, least = int(number.argmax()), int(number.argmin())
    ratio = number[most] / max(number[least], 1)
    return (
        f"the classes are uneven, {ratio:.3g} to 1: {number[most]:,} images of "
        f"{source.classes[most]} and {number[least]:,} of {source.classes[least]}. "
        "Accuracy hides how the small ones fare: look at each by itself, or balance "
        "them with --set class_balance=weights",
    )


def _in_words(source: Source, balance: str) -> str:
    """Returns what was done about uneven classes."""
    number = _counted(source)
    if balance == "sampling":
        seen = number[number > 0]
        return (
            f"class_balance=sampling: an epoch has {number.sum() / len(seen):,.0f} "
            f"images of each class, of {seen.min():,} to {seen.max():,} that there are"
        )
    of_labels = getattr(source.training, "labels").ndim == 2  # noqa: B009
    weights = positive_weights(source) if of_labels else class_weights(source)
    least, most = int(weights.argmin()), int(weights.argmax())
    return (
        f"class_balance=weights: losses count from {weights[least]:.3g} "
        f"({source.classes[least]}) to {weights[most]:.3g} times "
        f"({source.classes[most]})"
    )
