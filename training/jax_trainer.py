"""Training under Keras' JAX backend: an epoch is one compiled loop over its steps.

For pictures that fit into the memory of one device with the network: they go there
once, and nothing comes back before the epoch is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from . import jax_pictures
from .learner import Learner
from .recipe import Recipe

# Pictures that are judged at a time.
_JUDGED = 500
# What changes from step to step: weights, the optimizer's variables, the moving
# average, and the states of the layers' random numbers.
State = dict[str, list[Any]]


def state_of(learner: Learner) -> State:
    """Returns what a step changes, as JAX arrays; `put_back` is the way back."""
    return {
        name: [jnp.copy(variable.value) for variable in variables]
        for name, variables in _variables(learner).items()
    }


def put_back(learner: Learner, state: State) -> None:
    """Gives the learner's variables the values of a state."""
    for name, variables in _variables(learner).items():
        for variable, value in zip(variables, state[name], strict=True):
            variable.assign(value)


def _variables(learner: Learner) -> dict[str, Any]:
    averaged = learner.averaged.trainable_variables if learner.averaged else []
    return {
        "trained": learner.model.trainable_variables,
        "others": learner.model.non_trainable_variables,
        "slots": learner.optimizer.variables,
        "averaged": averaged,
    }


@dataclass(frozen=True)
class Trainer:
    """The compiled parts of a run.

    Attributes:
        learner: Gives the network and the optimizer; its variables stay as they are.
        recipe: The run's numbers.
        classes: Outputs of the network.
    """

    learner: Learner
    recipe: Recipe
    classes: int

    def step(self, state: State, images: Any, labels: Any, key: Any) -> Any:
        """Takes one training step.

        Args:
            state: Of `state_of`.
            images: uint8 `(batch, size, size, 3)`.
            labels: Class numbers `(batch,)`.
            key: Decides what happens to the pictures.

        Returns:
            (the state after it, the mean loss, the share of pictures whose highest
            logit is their label's).
        """
        recipe, model = self.recipe, self.learner.model
        view_key, mix_key = jax.random.split(key)
        images = jax_pictures.augmented(images, view_key, recipe.augmentation)
        targets = jax.nn.one_hot(labels, self.classes)
        images, targets = jax_pictures.mixed(
            images, targets, mix_key, recipe.augmentation
        )
        smooth = recipe.label_smoothing
        sought = targets * (1.0 - smooth) + smooth / self.classes

        def loss_of(trained: list[Any]) -> Any:
            logits, others = model.stateless_call(
                trained, state["others"], images.astype(jnp.float32), training=True
            )
            logits = logits.astype(jnp.float32)
            loss = -jnp.mean(jnp.sum(sought * jax.nn.log_softmax(logits), axis=1))
            return loss, (logits, others)

        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (logits, others)), gradients = gradient(state["trained"])
        trained, slots = self.learner.optimizer.stateless_apply(
            state["slots"], clipped(gradients, recipe.clip_norm), state["trained"]
        )
        follow = 1.0 - (recipe.ema_decay or 0.0)
        averaged = [
            average + (value - average) * follow
            for average, value in zip(state["averaged"], trained, strict=False)
        ]
        hits = logits.argmax(axis=1) == targets.argmax(axis=1)
        after = {
            "trained": trained,
            "others": others,
            "slots": slots,
            "averaged": averaged,
        }
        return after, loss, jnp.mean(hits, dtype=jnp.float32)

    def epoch(self, state: State, images: Any, labels: Any, key: Any) -> Any:
        """Takes every step of an epoch; the arguments are those of `step`, for all.

        Returns:
            (the state after it, the mean loss, the share answered right).
        """
        batch, count = self.recipe.global_batch, len(labels)
        steps = count // batch
        order_key, steps_key = jax.random.split(key)
        order = jax.random.permutation(order_key, count)[: steps * batch]

        def one(state: State, given: Any) -> Any:
            rows, key = given
            state, loss, right = self.step(state, images[rows], labels[rows], key)
            return state, (loss, right)

        keys = jax.random.split(steps_key, steps)
        rows = order.reshape(steps, batch)
        state, (losses, rights) = jax.lax.scan(one, state, (rows, keys))
        return state, jnp.mean(losses), jnp.mean(rights)

    def compiled_epoch(self, state: State, images: Any, labels: Any) -> Callable:
        """Returns `epoch` compiled for such arguments; it uses up the state."""
        key = jax.random.key(0)
        compiled = jax.jit(self.epoch, donate_argnums=0)
        return compiled.lower(state, images, labels, key).compile()


def clipped(gradients: list[Any], clip_norm: float | None) -> list[Any]:
    """Returns gradients whose common norm is at most `clip_norm`."""
    if clip_norm is None:
        return gradients
    norm = jnp.sqrt(sum(jnp.sum(jnp.square(each)) for each in gradients))
    factor = clip_norm / jnp.maximum(norm, clip_norm)
    return [each * factor for each in gradients]


def make_judge(
    model: keras.Model, finish: Callable[[Any], Any] = lambda outputs: outputs
) -> Callable[[Any, Any, Any], np.ndarray]:
    """Returns a function from weights and pictures to probabilities.

    Args:
        model: What is judged.
        finish: Makes probabilities of its outputs.

    Returns:
        A function of the trained weights, the other variables and uint8 pictures
        `(count, size, size, 3)`; its result is float32 `(count, classes)`.
    """

    def whole(trained: Any, others: Any, images: Any) -> Any:
        def some(images: Any) -> Any:
            outputs, _ = model.stateless_call(
                trained, others, images.astype(jnp.float32), training=False
            )
            return finish(outputs.astype(jnp.float32))

        count = len(images)
        more = [(0, -count % _JUDGED), (0, 0), (0, 0), (0, 0)]
        parts = jnp.pad(images, more).reshape(-1, _JUDGED, *images.shape[1:])
        probabilities = jax.lax.map(some, parts)
        return probabilities.reshape(-1, probabilities.shape[-1])[:count]

    compiled = jax.jit(whole)
    return lambda *arguments: np.asarray(compiled(*arguments))
