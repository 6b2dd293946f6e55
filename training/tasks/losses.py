"""Targets and losses of classification, on any backend of Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from ..evaluation.metrics import LEAST_PROBABILITY


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


def weigh_classes(labels: Any, class_weights: Any) -> tuple[Any, Any]:
    """Returns labels and a factor on each image's loss, which weigh its classes.

    Losses of cross-entropy are sums over an image's labels: of an image that is mixed
    of two, each one's part gets the weight of its class.

    Args:
        labels: Class numbers `(batch,)`, or their shares of an image
            `(batch, classes)`.
        class_weights: Factor on the loss of each class, float32 `(classes,)`.

    Returns:
        Shares, float32 `(batch, classes)`, and factors `(batch,)`.
    """
    shares = soft_targets(labels, class_weights.shape[0], 0.0) * class_weights
    factors = ops.sum(shares, axis=1)
    return shares / factors[:, None], factors


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


def weighted_sigmoid_loss(targets: Any, logits: Any, positive_weights: Any) -> Any:
    """Returns `sigmoid_loss` with a factor on each label where it applies, `(batch,)`.

    Args:
        targets: `(batch, classes)` in 0..1.
        logits: `(batch, classes)`.
        positive_weights: float32 `(classes,)`.
    """
    positive = positive_weights * targets * ops.log_sigmoid(logits)
    negative = (1.0 - targets) * ops.log_sigmoid(-logits)
    return -ops.mean(positive + negative, axis=1)


def focal_loss(targets: Any, logits: Any) -> Any:
    """Returns each image's mean focal loss over its classes, `(batch,)`.

    Binary cross-entropy with less weight on what is told rightly already: alpha 0.25,
    gamma 2. Source: arXiv:1708.02002, equation 5.

    Args:
        targets: `(batch, classes)` in 0..1.
        logits: `(batch, classes)`.
    """
    shares = ops.sigmoid(logits)
    right = targets * shares + (1.0 - targets) * (1.0 - shares)
    weights = 0.25 * targets + 0.75 * (1.0 - targets)
    losses = ops.binary_crossentropy(targets, logits, from_logits=True)
    return ops.mean(weights * (1.0 - right) ** 2 * losses, axis=1)


def asymmetric_loss(targets: Any, logits: Any) -> Any:
    """Returns each image's mean asymmetric loss over its classes, `(batch,)`.

    Labels that do not apply count little once their probability is small, and not at
    all below 0.05: gamma 0 for those that apply, 4 for the others.
    Source: arXiv:2009.14119, equation 5 and section 3.2.

    Args:
        targets: `(batch, classes)` in 0..1.
        logits: `(batch, classes)`.
    """
    shifted = ops.maximum(ops.sigmoid(logits) - 0.05, 0.0)
    positive = targets * ops.log_sigmoid(logits)
    negative = (1.0 - targets) * shifted**4 * ops.log1p(-shifted)
    return -ops.mean(positive + negative, axis=1)


def cumulative_loss(targets: Any, logits: Any) -> Any:
    """Returns each image's mean binary cross-entropy over the thresholds, `(batch,)`.

    There is a threshold between each class and the next, and a model says that an
    image is above it with the probabilities of the classes above it, summed. So a
    class counts the more against a model the farther it is from the truth, and the
    probabilities of all thresholds are consistent. With two classes it is
    `softmax_loss`. Source: the loss is that of arXiv:1901.07884, equation 4, on
    probabilities of a softmax.

    Args:
        targets: `(batch, classes)`, rows that sum to 1; classes in their order.
        logits: `(batch, classes)`.
    """
    above = _above_thresholds(logits.shape[-1])
    wanted = ops.matmul(targets, ops.transpose(above))
    row = ops.cast(logits, "float32")[:, None, :]
    # Sums of probabilities by their logarithms: none is rounded to 0.
    absent = -1e30 * (1.0 - above)
    present = -1e30 * above
    total = ops.logsumexp(row, axis=2)
    log_above = ops.logsumexp(row + absent, axis=2) - total
    log_below = ops.logsumexp(row + present, axis=2) - total
    return -ops.mean(wanted * log_above + (1.0 - wanted) * log_below, axis=1)


def squared_emd_loss(targets: Any, logits: Any) -> Any:
    """Returns each image's squared earth mover's distance over the thresholds.

    The mean square of the distances between the probability that an image is above a
    threshold and the target's, `(batch,)`. Source: arXiv:1611.05916, equation 5.

    Args:
        targets: As in `cumulative_loss`.
        logits: `(batch, classes)`.
    """
    above = ops.transpose(_above_thresholds(logits.shape[-1]))
    distances = ops.matmul(ops.softmax(logits) - targets, above)
    return ops.mean(distances**2, axis=1)


def _above_thresholds(classes: int) -> Any:
    """Returns 1 where a class is above a threshold, `(classes - 1, classes)`."""
    numbers = ops.arange(classes)
    return ops.cast(numbers[None, :] > numbers[:-1, None], "float32")


def log_probabilities(probabilities: Any) -> Any:
    """Returns logarithms of probabilities: logits but for what all classes share."""
    return ops.log(ops.maximum(probabilities, LEAST_PROBABILITY))


LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "softmax": softmax_loss,
    "sigmoid": sigmoid_loss,
    "focal": focal_loss,
    "asymmetric": asymmetric_loss,
    "cumulative": cumulative_loss,
    "emd": squared_emd_loss,
}
