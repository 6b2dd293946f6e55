"""Targets and losses of classification, on any backend of Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops


def soft_targets(labels: Any, classes: int, label_smoothing: float) -> Any:
    """Returns target probabilities, float32 `(batch, classes)`.

    Args:
        labels: Class numbers `(batch,)`, or probabilities `(batch, classes)`.
        classes: How many classes there are.
        label_smoothing: Share of each target that goes to all classes alike.
    """
    if len(labels.shape) == 1:
        labels = ops.one_hot(labels, classes)
    targets = ops.cast(labels, "float32")
    return targets * (1.0 - label_smoothing) + label_smoothing / classes


def apply_threshold(targets: Any, threshold: float | None) -> Any:
    """Returns 1 for targets above a threshold and 0 for others; None leaves them."""
    if threshold is None:
        return targets
    return ops.cast(targets > threshold, targets.dtype)


def softmax_loss(targets: Any, logits: Any) -> Any:
    """Returns each image's cross-entropy, `(batch,)`, of `(batch, classes)`."""
    return ops.categorical_crossentropy(targets, logits, from_logits=True)


def sigmoid_loss(targets: Any, logits: Any) -> Any:
    """Returns each image's mean binary cross-entropy over its classes, `(batch,)`.

    Args:
        targets: `(batch, classes)` in 0..1; a row need not sum to 1.
        logits: `(batch, classes)`.
    """
    losses = ops.binary_crossentropy(targets, logits, from_logits=True)
    return ops.mean(losses, axis=1)


LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "softmax": softmax_loss,
    "sigmoid": sigmoid_loss,
}
