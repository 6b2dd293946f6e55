"""One step of training and one of evaluation, on every device at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from ..tasks.task import Measure, ModelInputs, Rows, images_alone
from .train_state import TrainState

# XLA runs a depthwise convolution on a processor many times slower than
# TensorFlow's own kernels do.
_COMPILE = False


@dataclass(frozen=True)
class StepSettings:
    """What a training step does beside the update.

    Attributes:
        global_batch: Images a step over all devices.
        clip_norm: Largest norm of all gradients together, or None.
        ema_decay: Decay of the moving average, or None.
        accumulation_steps: Parts that a device's share of a batch is taken in.
    """

    global_batch: int
    clip_norm: float | None = None
    ema_decay: float | None = None
    accumulation_steps: int = 1


def make_train_step(
    train_state: TrainState,
    losses: Measure,
    settings: StepSettings,
    strategy: tf.distribute.Strategy,
    trains: Callable[[str], bool] = lambda path: True,
    model_inputs: ModelInputs = images_alone,
    teacher: keras.Model | None = None,
) -> Callable[[Any, Any], dict[str, tf.Tensor]]:
    """Returns the training step.

    It takes images and truth as `strategy.experimental_distribute_dataset` gives them
    and returns, summed over the devices: "loss" (mean over the batch), the sum over the
    batch of whatever else `losses` gives, and "gradient_norm" (of the whole batch's
    gradient, before clipping). Where the train state has a loss scale, a gradient that
    is not finite changes nothing but the scale.

    Args:
        train_state: What is changed.
        losses: From the model's outputs and the truth to "loss" and others, each
            float32 `(batch,)`.
        settings: What the step does beside the update.
        strategy: What the batch is spread by.
        trains: From a variable's path to whether this step changes it. Nothing is
            computed for those that it does not.
        model_inputs: Of the task.
        teacher: From the same images to what `losses` gets beside the truth, as a pair;
            None where it gets the truth alone.
    """
    chosen = [trains(v.path) for v in train_state.model.trainable_variables]
    variables = _chosen(train_state.model, chosen)
    scale = train_state.loss_scale
    exchanges = strategy.num_replicas_in_sync > 1 and _has_batch_norm(train_state.model)

    def backward(images: tf.Tensor, truth: Any) -> tuple[Any, list[tf.Tensor]]:
        """Returns sums and the gradients of some of a device's examples."""
        told = truth
        if teacher is not None:
            pixels = tf.cast(images, tf.float32)
            told = (truth, tf.stop_gradient(teacher(pixels, training=False)))
        # Watching nothing else, it computes nothing for what stands still.
        with tf.GradientTape(watch_accessed_variables=all(chosen)) as tape:
            tape.watch(variables)
            images = tf.cast(images, tf.float32)
            inputs = model_inputs(train_state.model, images, truth)
            outputs = train_state.model(inputs, training=True)
            rows = losses(outputs, told)
            # Each part is a share of the batch: shares of its mean add up.
            loss = tf.reduce_sum(rows["loss"]) / settings.global_batch
            scaled = loss if scale is None else loss * scale.factor
        sums = {name: tf.reduce_sum(values) for name, values in rows.items()}
        return {**sums, "loss": loss}, tape.gradient(scaled, variables)

    rows = settings.global_batch // strategy.num_replicas_in_sync

    def on_replica(images: tf.Tensor, truth: Any) -> dict[str, tf.Tensor]:
        # Where any size may differ, batches come without a number of rows.
        images, truth = tf.nest.map_structure(
            lambda whole: tf.ensure_shape(whole, (rows, *whole.shape[1:])),
            (images, truth),
        )
        sums, gradients = sum_over_parts(
            backward, images, truth, settings.accumulation_steps, exchanges
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
        return {**sums, "gradient_norm": norm / strategy.num_replicas_in_sync}

    @tf.function(jit_compile=_COMPILE, autograph=False)
    def train_step(images: Any, truth: Any) -> dict[str, tf.Tensor]:
        parts = strategy.run(on_replica, args=(images, truth))
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None)
            for name, part in parts.items()
        }

    return train_step


def sum_over_parts(
    function: Callable[[tf.Tensor, Any], Any],
    images: tf.Tensor,
    truth: Any,
    parts: int,
    exchanges: bool = False,
) -> Any:
    """Returns the sums of a function's results over equal parts of a batch.

    One part after another: only one part's activations are in memory.

    Args:
        function: From some images and their truth to a nest of float32 tensors.
        images: `(batch, height, width, 3)`.
        truth: A nest of tensors `(batch, ...)`.
        parts: How many; they divide the batch.
        exchanges: Whether the function exchanges tensors between replicas, as batch
            norm does. No loop of a graph may hold that, so the parts are written out.
    """
    if parts == 1:
        return function(images, truth)
    rows = images.shape[0] // parts

    def part_of(part: Any) -> tuple[tf.Tensor, Any]:
        taken: tuple[tf.Tensor, Any] = tf.nest.map_structure(
            lambda whole: tf.ensure_shape(
                whole[part * rows : (part + 1) * rows], (rows, *whole.shape[1:])
            ),
            (images, truth),
        )
        return taken

    def add(part: Any, sums: Any) -> tuple[Any, Any]:
        results = function(*part_of(part))
        return part + 1, tf.nest.map_structure(lambda a, b: a + b, sums, results)

    first = function(*part_of(0))
    if exchanges:
        sums = first
        for part in range(1, parts):
            with tf.control_dependencies(tf.nest.flatten(sums)):
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
        with getattr(optimizer, "one_step", nullcontext)():
            for variable, gradient in zip(variables, gradients, strict=True):
                given = (gradient, learning_rate, finite)
                strategy.extended.update(variable, step, args=given)
        for variable, average in zip(variables, averages, strict=True):
            if average is not None:
                strategy.extended.update(average, follow, args=(variable, finite))

    context = tf.distribute.get_replica_context()
    for average, statistic in _statistics(train_state):
        average.assign_add((statistic - average) * share)
    learning_rate = tf.convert_to_tensor(optimizer.learning_rate)
    context.merge_call(on_all, args=(gradients, learning_rate, finite))
    taken = 1
    if train_state.loss_scale is not None:
        train_state.loss_scale.note(finite)
        taken = tf.cast(finite, optimizer.iterations.dtype)
    optimizer.iterations.assign_add(taken)


def _statistics(train_state: TrainState) -> list[tuple[Any, Any]]:
    """Returns pairs of batch norms' moving statistics: the average's, the model's."""
    if train_state.averaged is None:
        return []
    averages, own = (
        [v.value for v in model.non_trainable_variables if "/moving_" in v.path]
        for model in (train_state.averaged, train_state.model)
    )
    return list(zip(averages, own, strict=True))


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
    model: keras.Model,
    measure: Measure,
    strategy: tf.distribute.Strategy,
    model_inputs: ModelInputs = images_alone,
) -> Callable[[Any, Any], dict[str, Any]]:
    """Returns a function from distributed images and truth to rows on each device.

    Args:
        model: What is evaluated.
        measure: From its outputs and the truth to rows.
        strategy: What the images are spread by.
        model_inputs: Of the task.
    """

    def on_replica(images: tf.Tensor, truth: Any) -> Rows:
        inputs = model_inputs(model, tf.cast(images, tf.float32), truth)
        return measure(model(inputs, training=False), truth)

    # Images of many sizes share one graph.
    @tf.function(jit_compile=_COMPILE, autograph=False, reduce_retracing=True)
    def evaluation_step(images: Any, truth: Any) -> Any:
        return strategy.run(on_replica, args=(images, truth))

    return evaluation_step
