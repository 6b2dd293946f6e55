"""Training under Keras' JAX backend: an epoch is one compiled loop over its steps.

For images that fit into the memory of one device with the network: they go there
once, and nothing comes back before the epoch is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from ..engine.train_state import TrainState
from ..recipes.recipe import Recipe
from ..tasks.task import Measure, Rows
from . import augment

# Images that are evaluated at a time.
_AT_ONCE = 500
# What changes from step to step: weights, the optimizer's variables, the moving
# average, and the states of the layers' random numbers.
State = dict[str, list[Any]]


def state_of(train_state: TrainState) -> State:
    """Returns the arrays that a step changes; `put_back` does the reverse."""
    return {
        name: [jnp.copy(variable.value) for variable in variables]
        for name, variables in _variables(train_state).items()
    }


def put_back(train_state: TrainState, state: State) -> None:
    """Gives the train state's variables the values of a state."""
    for name, variables in _variables(train_state).items():
        for variable, value in zip(variables, state[name], strict=True):
            variable.assign(value)


def _variables(train_state: TrainState) -> dict[str, Any]:
    averaged = train_state.averaged.trainable_variables if train_state.averaged else []
    return {
        "trained": train_state.model.trainable_variables,
        "others": train_state.model.non_trainable_variables,
        "slots": train_state.optimizer.variables,
        "averaged": averaged,
    }


def make_train_step(
    train_state: TrainState, losses: Measure, recipe: Recipe, classes: int
) -> Callable[[State, Any, Any, Any], tuple[State, Rows]]:
    """Returns the function that one training step is; `step` is TensorFlow's.

    It takes a state, uint8 images `(batch, size, size, 3)`, class numbers `(batch,)`
    and a key that decides what happens to the images. It returns the state after
    the step, the mean loss, and the sum over the batch of what else `losses` gives.

    Args:
        train_state: Gives the model and the optimizer; its variables do not change.
        losses: From the network's outputs and the truth to "loss" and others, each
            float32 `(batch,)`.
        recipe: The run's numbers.
        classes: Outputs of the network.
    """
    model, optimizer = train_state.model, train_state.optimizer
    follow = 1.0 - (recipe.ema_decay or 0.0)

    def step(state: State, images: Any, labels: Any, key: Any) -> Any:
        view_key, mix_key = jax.random.split(key)
        images = augment.augment(images, view_key, recipe.augmentation)
        images, truth = augment.mixup_cutmix(
            images, labels, mix_key, classes, recipe.augmentation
        )

        def loss_of(trained: list[Any]) -> Any:
            outputs, others = model.stateless_call(
                trained, state["others"], images.astype(jnp.float32), training=True
            )
            rows = losses(outputs, truth)
            return jnp.mean(rows["loss"]), (rows, others)

        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (rows, others)), gradients = gradient(state["trained"])
        trained, slots = optimizer.stateless_apply(
            state["slots"],
            clip_by_global_norm(gradients, recipe.clip_norm),
            state["trained"],
        )
        averaged = state["averaged"]
        if averaged:
            averaged = [
                average + (value - average) * follow
                for average, value in zip(averaged, trained, strict=True)
            ]
        after = {
            "trained": trained,
            "others": others,
            "slots": slots,
            "averaged": averaged,
        }
        sums = {name: jnp.sum(values) for name, values in rows.items()}
        return after, {**sums, "loss": loss}

    return step


def compiled_epoch(
    step: Callable[[State, Any, Any, Any], tuple[State, Rows]],
    batch: int,
    state: State,
    images: Any,
    labels: Any,
) -> Callable[[State, Any, Any, Any], tuple[State, Rows]]:
    """Returns a function that takes every step of an epoch.

    It takes and returns what a step does, with all images instead of a batch of
    them, sums over the steps, and a key that decides the order too. It uses up the
    state that it is given. What is left of the images, less than a batch, is another
    part in every epoch.

    Args:
        step: Of `make_train_step`.
        batch: Images a step.
        state: Of `state_of`; this and the next two are what it is compiled for.
        images: All of them.
        labels: All of them.
    """
    count = len(labels)
    steps = count // batch

    def epoch(state: State, images: Any, labels: Any, key: Any) -> Any:
        order_key, steps_key = jax.random.split(key)
        order = jax.random.permutation(order_key, count)[: steps * batch]

        def one(state: State, given: Any) -> Any:
            rows, key = given
            return step(state, images[rows], labels[rows], key)

        each = (order.reshape(steps, batch), jax.random.split(steps_key, steps))
        state, sums = jax.lax.scan(one, state, each)
        return state, {name: jnp.sum(values) for name, values in sums.items()}

    lowered = jax.jit(epoch, donate_argnums=0).lower(
        state, images, labels, jax.random.key(0)
    )
    compiled: Callable[..., Any] = lowered.compile()
    return compiled


def clip_by_global_norm(gradients: list[Any], clip_norm: float | None) -> list[Any]:
    """Returns gradients whose common norm is at most `clip_norm`."""
    if clip_norm is None:
        return gradients
    norm = jnp.sqrt(sum(jnp.sum(jnp.square(each)) for each in gradients))
    factor = clip_norm / jnp.maximum(norm, clip_norm)
    return [each * factor for each in gradients]


def make_measure(
    model: keras.Model, measure: Measure
) -> Callable[[Any, Any, Any, Any], Rows]:
    """Returns a function from weights, images and truth to the rows of each image.

    Args:
        model: What is evaluated.
        measure: From its outputs and the truth to rows.

    Returns:
        A function of the trained weights, the other variables, uint8 images
        `(count, size, size, 3)` and their truth; its result are NumPy arrays
        `(count, ...)`.
    """

    def whole(trained: Any, others: Any, images: Any, truth: Any) -> Any:
        def some(given: Any) -> Any:
            images, truth = given
            outputs, _ = model.stateless_call(
                trained, others, images.astype(jnp.float32), training=False
            )
            return measure(outputs, truth)

        count = len(images)

        def in_parts(values: Any) -> Any:
            more = [(0, -count % _AT_ONCE), *[(0, 0)] * (values.ndim - 1)]
            return jnp.pad(values, more).reshape(-1, _AT_ONCE, *values.shape[1:])

        rows = jax.lax.map(some, jax.tree.map(in_parts, (images, truth)))
        return {
            name: values.reshape(-1, *values.shape[2:])[:count]
            for name, values in rows.items()
        }

    compiled = jax.jit(whole)

    def measured(*arguments: Any) -> Rows:
        rows = compiled(*arguments)
        return {name: np.asarray(values) for name, values in rows.items()}

    return measured
