"""Losses and counts of label maps, on any backend of Keras.

A label that is no class, such as 255, belongs to a pixel that does not count.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def cross_entropies(labels: Any, logits: Any) -> tuple[Any, Any]:
    """Returns the cross-entropy of each pixel, and which pixels have a label.

    Args:
        labels: Integers `(batch, height, width)`.
        logits: `(batch, height, width, classes)`.

    Returns:
        (float32, 0 where there is no label; bool), each `(batch, height, width)`.
    """
    labels, logits = ops.cast(labels, "int32"), ops.cast(logits, "float32")
    valid = labels < logits.shape[-1]
    known = ops.where(valid, labels, ops.zeros_like(labels))
    losses = ops.sparse_categorical_crossentropy(known, logits, from_logits=True)
    return ops.where(valid, losses, ops.zeros_like(losses)), valid


def mean_over(pixels: str, losses: Any, valid: Any) -> Any:
    """Returns each image's mean loss, `(batch,)`.

    Args:
        pixels: "all", as mmsegmentation divides unless told otherwise, or "valid".
        losses: Of `cross_entropies`.
        valid: Of `cross_entropies`.
    """
    weights = ops.cast(valid, "float32")
    if pixels == "all":
        weights = ops.ones_like(weights)
    sums = ops.sum(losses, axis=(1, 2))
    return sums / ops.maximum(ops.sum(weights, axis=(1, 2)), 1.0)


def pixel_accuracy(labels: Any, logits: Any, valid: Any) -> Any:
    """Returns the share of each image's labeled pixels that are right, `(batch,)`."""
    right = ops.argmax(logits, axis=-1) == ops.cast(labels, "int32")
    counted = ops.sum(ops.cast(valid, "float32"), axis=(1, 2))
    correct = ops.cast(ops.logical_and(right, valid), "float32")
    return ops.sum(correct, axis=(1, 2)) / ops.maximum(counted, 1.0)


def count_pixels(labels: Any, logits: Any) -> Any:
    """Counts each image's pixels by their label and their prediction.

    Args:
        labels: Integers `(batch, height, width)`.
        logits: `(batch, height, width, classes)`.

    Returns:
        int32 `(batch, classes * classes)`, those of a label one after another.
    """
    classes = logits.shape[-1]
    labels = ops.cast(labels, "int32")
    predicted = ops.cast(ops.argmax(logits, axis=-1), "int32")
    # Pixels without a label go into a place of their own, which is cut off.
    pairs = ops.where(labels < classes, labels * classes + predicted, classes**2)
    images, places = ops.shape(pairs)[0], classes**2 + 1
    pairs = pairs + ops.reshape(ops.arange(images) * places, (-1, 1, 1))
    flat = ops.reshape(pairs, (-1,))
    counts = ops.segment_sum(ops.ones_like(flat), flat, num_segments=images * places)
    return ops.reshape(counts, (images, places))[:, :-1]
