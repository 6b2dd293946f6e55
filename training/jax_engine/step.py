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
    train_state: TrainState, recipe: Recipe, classes: int
) -> Callable[[State, Any, Any, Any], tuple[State, Any, Any]]:
    """Returns the function that one training step is; `step` is TensorFlow's.

    It takes a state, uint8 images `(batch, size, size, 3)`, class numbers `(batch,)`
    and a key that decides what happens to the images. It returns the state after
    the step, the mean loss, and the share of images whose highest logit is their
    label's.

    Args:
        train_state: Gives the model and the optimizer; its variables do not change.
        recipe: The run's numbers.
        classes: Outputs of the network.
    """
    model, optimizer = train_state.model, train_state.optimizer
    smooth, follow = recipe.label_smoothing, 1.0 - (recipe.ema_decay or 0.0)

    def step(state: State, images: Any, labels: Any, key: Any) -> Any:
        view_key, mix_key = jax.random.split(key)
        images = augment.augment(images, view_key, recipe.augmentation)
        targets = jax.nn.one_hot(labels, classes)
        images, targets = augment.mixup_cutmix(
            images, targets, mix_key, recipe.augmentation
        )
        desired = targets * (1.0 - smooth) + smooth / classes

        def loss_of(trained: list[Any]) -> Any:
            logits, others = model.stateless_call(
                trained, state["others"], images.astype(jnp.float32), training=True
            )
            logits = logits.astype(jnp.float32)
            loss = -jnp.mean(jnp.sum(desired * jax.nn.log_softmax(logits), axis=1))
            return loss, (logits, others)

        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (logits, others)), gradients = gradient(state["trained"])
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
        is_correct = logits.argmax(axis=1) == targets.argmax(axis=1)
        after = {
            "trained": trained,
            "others": others,
            "slots": slots,
            "averaged": averaged,
        }
        return after, loss, jnp.mean(is_correct, dtype=jnp.float32)

    return step


def compiled_epoch(
    step: Callable[[State, Any, Any, Any], tuple[State, Any, Any]],
    batch: int,
    state: State,
    images: Any,
    labels: Any,
) -> Callable[[State, Any, Any, Any], tuple[State, Any, Any]]:
    """Returns a function that takes every step of an epoch.

    It takes and returns what a step does, with all images instead of a batch of
    them, means over the steps, and a key that decides the order too. It uses up the
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
            state, loss, right = step(state, images[rows], labels[rows], key)
            return state, (loss, right)

        each = (order.reshape(steps, batch), jax.random.split(steps_key, steps))
        state, (losses, rights) = jax.lax.scan(one, state, each)
        return state, jnp.mean(losses), jnp.mean(rights)

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


def make_predict(
    model: keras.Model, finish: Callable[[Any], Any] = lambda outputs: outputs
) -> Callable[[Any, Any, Any], np.ndarray]:
    """Returns a function from weights and images to probabilities.

    Args:
        model: What is evaluated.
        finish: Makes probabilities of its outputs.

    Returns:
        A function of the trained weights, the other variables and uint8 images
        `(count, size, size, 3)`; its result is float32 `(count, classes)`.
    """

    def whole(trained: Any, others: Any, images: Any) -> Any:
        def some(images: Any) -> Any:
            outputs, _ = model.stateless_call(
                trained, others, images.astype(jnp.float32), training=False
            )
            return finish(outputs.astype(jnp.float32))

        count = len(images)
        more = [(0, -count % _AT_ONCE), (0, 0), (0, 0), (0, 0)]
        parts = jnp.pad(images, more).reshape(-1, _AT_ONCE, *images.shape[1:])
        probabilities = jax.lax.map(some, parts)
        return probabilities.reshape(-1, probabilities.shape[-1])[:count]

    compiled = jax.jit(whole)
    return lambda *arguments: np.asarray(compiled(*arguments))
