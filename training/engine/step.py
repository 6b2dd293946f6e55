"""One step of training and one of evaluation, on every device at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from ..evaluation.metrics import TOP
from . import losses as objective
from .train_state import TrainState

# XLA runs a depthwise convolution on a processor many times slower than
# TensorFlow's own kernels do.
_COMPILE = False


@dataclass(frozen=True)
class StepSettings:
    """What a training step does beside the update.

    Attributes:
        global_batch: Images a step over all devices.
        classes: Outputs of the model.
        label_smoothing: Share of the target spread over all classes.
        loss: Key in `objective.LOSSES`.
        target_threshold: Above it a target is 1, else 0; or None.
        clip_norm: Largest norm of all gradients together, or None.
        ema_decay: Decay of the moving average, or None.
        accumulation_steps: Parts that a device's share of a batch is taken in.
    """

    global_batch: int
    classes: int
    label_smoothing: float = 0.0
    loss: str = "softmax"
    target_threshold: float | None = None
    clip_norm: float | None = None
    ema_decay: float | None = None
    accumulation_steps: int = 1


def make_train_step(
    train_state: TrainState,
    settings: StepSettings,
    strategy: tf.distribute.Strategy,
    trains: Callable[[str], bool] = lambda path: True,
) -> Callable[[Any, Any], dict[str, tf.Tensor]]:
    """Returns the training step.

    It takes a batch as `strategy.experimental_distribute_dataset` gives it and
    returns, summed over the devices: "loss" (mean over the batch), "correct"
    (images whose highest logit is the label's), and "gradient_norm" (of the whole
    batch's gradient, before clipping). Where the train state has a loss scale, a
    gradient that is not finite changes nothing but the scale.

    Args:
        train_state: What is changed.
        settings: What the step does beside the update.
        strategy: What the batch is spread by.
        trains: From a variable's path to whether this step changes it. Nothing is
            computed for those that it does not.
    """
    chosen = [trains(v.path) for v in train_state.model.trainable_variables]
    variables = _chosen(train_state.model, chosen)
    scale = train_state.loss_scale
    exchanges = strategy.num_replicas_in_sync > 1 and _has_batch_norm(train_state.model)

    def backward(images: tf.Tensor, targets: tf.Tensor) -> list[tf.Tensor]:
        """Returns loss, correct count and gradients of some of a device's images."""
        # Watching nothing else, it computes nothing for what stands still.
        with tf.GradientTape(watch_accessed_variables=all(chosen)) as tape:
            tape.watch(variables)
            logits = train_state.model(tf.cast(images, tf.float32), training=True)
            logits = tf.cast(logits, tf.float32)
            desired = objective.apply_threshold(targets, settings.target_threshold)
            losses = objective.LOSSES[settings.loss](desired, logits)
            # Each part is a share of the batch: shares of its mean add up.
            loss = tf.reduce_sum(losses) / settings.global_batch
            scaled = loss if scale is None else loss * scale.factor
        is_correct = tf.argmax(logits, axis=1) == tf.argmax(targets, axis=1)
        correct = tf.reduce_sum(tf.cast(is_correct, tf.float32))
        return [loss, correct, *tape.gradient(scaled, variables)]

    def on_replica(images: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        targets = objective.soft_targets(
            labels, settings.classes, settings.label_smoothing
        )
        loss, correct, *gradients = sum_over_parts(
            backward, images, targets, settings.accumulation_steps, exchanges
        )
        context = tf.distribute.get_replica_context()
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if scale is not None:
            gradients = [gradient / scale.factor for gradient in gradients]
        # Clipped after the sum: the limit is meant for the batch's gradient, not
        # for the part of it that one device has seen.
        gradients, norm = clip_by_global_norm(gradients, settings.clip_norm)
        finite = tf.math.is_finite(norm)
        update(train_state, gradients, settings.ema_decay, finite, chosen)
        return {
            "loss": loss,
            "correct": correct,
            "gradient_norm": norm / strategy.num_replicas_in_sync,
        }

    @tf.function(jit_compile=_COMPILE, autograph=False)
    def train_step(images: Any, labels: Any) -> dict[str, tf.Tensor]:
        parts = strategy.run(on_replica, args=(images, labels))
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None)
            for name, part in parts.items()
        }

    return train_step


def sum_over_parts(
    function: Callable[[tf.Tensor, tf.Tensor], list[tf.Tensor]],
    images: tf.Tensor,
    targets: tf.Tensor,
    parts: int,
    exchanges: bool = False,
) -> list[tf.Tensor]:
    """Returns the sums of a function's results over equal parts of a batch.

    One part after another: only one part's activations are in memory.

    Args:
        function: From some images and targets to float32 tensors.
        images: `(batch, height, width, 3)`.
        targets: `(batch, classes)`.
        parts: How many; they divide the batch.
        exchanges: Whether the function exchanges tensors between replicas, as batch
            norm does. No loop of a graph may hold that, so the parts are written out.
    """
    if parts == 1:
        return function(images, targets)
    rows = images.shape[0] // parts

    def add(part: Any, sums: list[tf.Tensor]) -> tuple[Any, list[Any]]:
        taken = slice(part * rows, (part + 1) * rows)
        results = function(
            tf.ensure_shape(images[taken], (rows, *images.shape[1:])),
            tf.ensure_shape(targets[taken], (rows, *targets.shape[1:])),
        )
        return part + 1, [a + b for a, b in zip(sums, results, strict=True)]

    first = function(images[:rows], targets[:rows])
    if exchanges:
        sums = first
        for part in range(1, parts):
            with tf.control_dependencies(sums):
                _, sums = add(part, sums)
        return sums
    _, sums = tf.while_loop(
        lambda part, _: part < parts, add, (1, first), parallel_iterations=1
    )
    return sums


def _has_batch_norm(model: keras.Model) -> bool:
    """Returns True if a layer, of a model inside it too, computes over the batch."""
    return any(
        isinstance(layer, keras.layers.BatchNormalization)
        or (isinstance(layer, keras.Model) and _has_batch_norm(layer))
        for layer in model.layers
    )


def clip_by_global_norm(
    gradients: list[tf.Tensor], clip_norm: float | None
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Returns gradients whose common norm is at most `clip_norm`, and their norm."""
    norm = tf.linalg.global_norm(gradients)
    if clip_norm is None:
        return gradients, norm
    gradients, _ = tf.clip_by_global_norm(gradients, clip_norm, use_norm=norm)
    return gradients, norm


def update(
    train_state: TrainState,
    gradients: list[tf.Tensor],
    ema_decay: float | None,
    finite: tf.Tensor,
    chosen: Sequence[bool] | None = None,
) -> None:
    """Applies gradients that are already the same on every device.

    `optimizer.apply` would sum them over the devices a second time, so its
    per-variable step is called directly. To be called on a replica.

    Args:
        train_state: What is changed.
        gradients: One for each of the model's trainable variables that are chosen.
        ema_decay: Decay of the moving average, or None.
        finite: Whether the gradients are finite, bool scalar. Looked at only where
            the train state has a loss scale.
        chosen: Which of the model's trainable variables are changed; all, unless
            given.
    """
    optimizer = train_state.optimizer
    variables = _chosen(train_state.model, chosen)
    averages: list[Any] = [None] * len(variables)
    share = 0.0
    if train_state.averaged is not None and ema_decay is not None:
        averages = _chosen(train_state.averaged, chosen)
        share = 1.0 - ema_decay

    guarded = train_state.loss_scale is not None

    def step(variable: Any, gradient: Any, learning_rate: Any, finite: Any) -> None:
        def act() -> None:
            optimizer.update_step(gradient, variable, learning_rate)

        _if_true(finite, act) if guarded else act()

    def follow(average: Any, variable: Any, finite: Any) -> None:
        def act() -> None:
            average.assign_add((variable - average) * share)

        _if_true(finite, act) if guarded else act()

    def on_all(
        strategy: tf.distribute.Strategy,
        gradients: list[Any],
        learning_rate: Any,
        finite: Any,
    ) -> None:
        for variable, average, gradient in zip(
            variables, averages, gradients, strict=True
        ):
            given = (gradient, learning_rate, finite)
            strategy.extended.update(variable, step, args=given)
            if average is not None:
                strategy.extended.update(average, follow, args=(variable, finite))

    context = tf.distribute.get_replica_context()
    learning_rate = tf.convert_to_tensor(optimizer.learning_rate)
    context.merge_call(on_all, args=(gradients, learning_rate, finite))
    taken = 1
    if train_state.loss_scale is not None:
        train_state.loss_scale.note(finite)
        taken = tf.cast(finite, optimizer.iterations.dtype)
    optimizer.iterations.assign_add(taken)


def _chosen(model: keras.Model, chosen: Sequence[bool] | None) -> list[Any]:
    """Returns the TensorFlow variables of a model that are trained."""
    trainable = model.trainable_variables
    if chosen is None:
        return [v.value for v in trainable]
    return [v.value for v, wanted in zip(trainable, chosen, strict=True) if wanted]


def _if_true(condition: tf.Tensor, action: Callable[[], None]) -> None:
    """Runs an action that changes variables, in the graph, where a bool is true."""

    def acted() -> tf.Tensor:
        action()
        return tf.constant(True)

    tf.cond(condition, acted, lambda: tf.constant(False))


def make_evaluation_step(
    forward: Callable[[tf.Tensor], tf.Tensor], strategy: tf.distribute.Strategy
) -> Callable[[Any, Any], Any]:
    """Returns a function from distributed images to what is said of each.

    Args:
        forward: From float32 images to log-probabilities `(batch, classes)`.
        strategy: What the images are spread by.

    Returns:
        A function of images and labels whose result has, on each device, "top"
        (class numbers of the highest probabilities, `(batch, 5)` or fewer),
        "confidence" (the highest probability) and "loss" (minus the logarithm of
        the label's probability), both `(batch,)`.
    """

    def on_replica(images: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = tf.cast(forward(tf.cast(images, tf.float32)), tf.float32)
        values, classes = tf.math.top_k(scores, k=min(TOP, scores.shape[-1]))
        return {
            "top": classes,
            "confidence": tf.exp(values[:, 0]),
            "loss": -tf.gather(scores, labels, axis=1, batch_dims=1),
        }

    @tf.function(jit_compile=_COMPILE, autograph=False)
    def evaluation_step(images: Any, labels: Any) -> Any:
        return strategy.run(on_replica, args=(images, labels))

    return evaluation_step
