"""What training makes small: targets and losses."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def soft_targets(labels: tf.Tensor, classes: int, label_smoothing: float) -> tf.Tensor:
    """Returns target probabilities, float32 `(batch, classes)`.

    Args:
        labels: Class numbers `(batch,)`, or probabilities `(batch, classes)`.
        classes: How many classes there are.
        label_smoothing: Share of each target that goes to all classes alike.
    """
    if labels.shape.rank == 1:
        labels = tf.one_hot(labels, classes)
    targets = tf.cast(labels, tf.float32)
    return targets * (1.0 - label_smoothing) + label_smoothing / classes


def apply_threshold(targets: tf.Tensor, threshold: float | None) -> tf.Tensor:
    """Returns 1 for targets above a threshold and 0 for others; None leaves them."""
    if threshold is None:
        return targets
    return tf.cast(targets > threshold, targets.dtype)


def softmax_loss(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns each image's cross-entropy, `(batch,)`, of `(batch, classes)`."""
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)


def sigmoid_loss(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns each image's mean binary cross-entropy over its classes, `(batch,)`.

    Args:
        targets: `(batch, classes)` in 0..1; a row need not sum to 1.
        logits: `(batch, classes)`.
    """
    losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(losses, axis=1)


LOSSES: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "softmax": softmax_loss,
    "sigmoid": sigmoid_loss,
}
