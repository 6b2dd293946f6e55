"""One step of training under JAX, on every device at once.

It is written for the whole batch; XLA divides the work, as the batch lies. So a step
draws the same random numbers on however many devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras

from ..engine.train_state import TrainState
from ..recipes.recipe import Recipe
from ..tasks.task import Measure, ModelInputs, Rows, images_alone
from .devices import Spread, local

# What changes from step to step: weights, the optimizer's variables, the moving
# average, and the states of the layers' random numbers.
State = dict[str, list[Any]]
# From a state, the constants of `constants_of`, images and truth to the next state
# and the step's sums.
Step = Callable[[State, dict[str, Any], Any, Any], tuple[State, Rows]]


def state_of(train_state: TrainState, spread: Spread) -> State:
    """Returns what a step changes, on every device; `put_back` does the reverse."""
    values = {
        name: [variable.value for variable in variables]
        for name, variables in _variables(train_state).items()
    }
    copied: State = spread.copy(values)
    return copied


def put_back(train_state: TrainState, state: State) -> None:
    """Gives the train state's variables the values of a state."""
    for name, variables in _variables(train_state).items():
        for variable, value in zip(variables, state[name], strict=True):
            # The next step uses up what it is given.
            variable.assign(jnp.array(local(value), copy=True))


def constants_of(
    train_state: TrainState, spread: Spread, teacher: keras.Model | None = None
) -> dict[str, Any]:
    """Returns what a step is given beside its state and does not change.

    "rate" is negative, or what a callback has set for a learning rate.
    """
    values: dict[str, Any] = {"rate": [], "teacher": []}
    if train_state.rate is not None:
        values["rate"] = [train_state.rate.fixed.value]
    if teacher is not None:
        values["teacher"] = [variable.value for variable in teacher.variables]
    copied: dict[str, Any] = spread.copy(values)
    return copied


def _variables(train_state: TrainState) -> dict[str, Any]:
    averaged = train_state.averaged
    return {
        "trained": train_state.model.trainable_variables,
        "others": train_state.model.non_trainable_variables,
        "slots": train_state.optimizer.variables,
        "averaged": averaged.trainable_variables if averaged else [],
        "statistics": _statistics(averaged) if averaged else [],
    }


def _statistics(model: keras.Model) -> list[Any]:
    """Returns the moving statistics of a model's batch norms."""
    return [v for v in model.non_trainable_variables if "/moving_" in v.path]


def make_train_step(
    train_state: TrainState,
    losses: Measure,
    recipe: Recipe,
    spread: Spread,
    trains: Callable[[str], bool] = lambda path: True,
    model_inputs: ModelInputs = images_alone,
    teacher: keras.Model | None = None,
) -> Step:
    """Returns the function that one training step is; `step` is TensorFlow's.

    It takes a state, constants, images `(batch, height, width, 3)` and their truth. It
    returns the state after the step, and sums: "loss" (mean over the batch), the sum
    over the batch of whatever else `losses` gives, and "gradient_norm" (of the whole
    batch's gradient, before clipping). To be compiled.

    Args:
        train_state: Gives the model and the optimizer; its variables do not change.
        losses: From the model's outputs and the truth to "loss" and others, each
            float32 `(batch,)`.
        recipe: The run's numbers.
        spread: What the batch is spread over.
        trains: From a variable's path to whether this step changes it. Nothing is
            computed for those that it does not.
        model_inputs: Of the task.
        teacher: From the same images to what `losses` gets beside the truth.
    """
    model = train_state.model
    chosen = [trains(v.path) for v in model.trainable_variables]

    def told_by(constants: dict[str, Any], images: Any, truth: Any) -> Any:
        if teacher is None:
            return truth
        given = constants["teacher"]
        mapping = zip(teacher.variables, given, strict=True)
        with keras.StatelessScope(state_mapping=list(mapping)):
            answers = teacher(images, training=False)
        return truth, jax.lax.stop_gradient(answers)

    def backward(
        trained: list[Any], others: list[Any], constants: Any, images: Any, truth: Any
    ) -> tuple[Any, Any]:
        """Returns (others, sums) and gradients of some of the batch's examples."""
        images = images.astype(jnp.float32)
        told = told_by(constants, images, truth)

        def loss_of(learning: list[Any]) -> Any:
            outputs, after = model.stateless_call(
                _merged(trained, learning, chosen),
                others,
                model_inputs(model, images, truth),
                training=True,
            )
            rows = losses(outputs, told)
            # Each part is a share of the batch: shares of its mean add up.
            loss = jnp.sum(rows["loss"]) / recipe.global_batch
            sums = {name: jnp.sum(values) for name, values in rows.items()}
            return loss, (after, {**sums, "loss": loss})

        learning = [value for value, yes in zip(trained, chosen, strict=True) if yes]
        (_, aside), gradients = jax.value_and_grad(loss_of, has_aux=True)(learning)
        return aside, gradients

    def step(state: State, constants: Any, images: Any, truth: Any) -> Any:
        some = partial(backward, state["trained"])
        others, sums, gradients = sum_over_parts(
            lambda others, part: some(others, constants, *part),
            state["others"],
            (images, truth),
            recipe.accumulation_steps,
            spread,
        )
        gradients, norm = clip_by_global_norm(gradients, recipe.clip_norm)
        after = update(train_state, state, constants, gradients, recipe, chosen)
        if train_state.averaged is not None:
            pairs = zip(model.non_trainable_variables, others, strict=True)
            own = [value for v, value in pairs if "/moving_" in v.path]
            after["statistics"] = _follow(state["statistics"], own, recipe)
        return {**after, "others": others}, {**sums, "gradient_norm": norm}

    return step


def _merged(
    values: Sequence[Any], chosen_values: Sequence[Any], chosen: Sequence[bool]
) -> list[Any]:
    """Returns values with the chosen ones from elsewhere."""
    own = iter(chosen_values)
    return [
        next(own) if yes else value for value, yes in zip(values, chosen, strict=True)
    ]


def sum_over_parts(
    function: Callable[[Any, Any], tuple[tuple[Any, Any], Any]],
    others: Any,
    batch: Any,
    parts: int,
    spread: Spread,
) -> tuple[Any, Any, Any]:
    """Returns the last others, and the sums of a function's sums and gradients.

    One part after another: only one part's activations are in memory. A part is every
    so-many-th row, so that each device has its own of them and nothing moves.

    Args:
        function: From others and a part of the batch to ((others, sums), gradients).
        others: What goes from part to part.
        batch: A nest of arrays `(batch, ...)`.
        parts: How many; they divide the batch.
        spread: What the batch is spread over.
    """
    if parts == 1:
        (others, sums), gradients = function(others, batch)
        return others, sums, gradients

    def divided(array: Any) -> Any:
        rows = array.reshape(array.shape[0] // parts, parts, *array.shape[1:])
        return jnp.swapaxes(rows, 0, 1)

    divided_batch = jax.tree.map(divided, batch)

    def add(carried: Any, number: Any) -> Any:
        others, before = carried
        part = jax.tree.map(lambda array: array[number], divided_batch)
        (others, sums), gradients = function(others, spread.along(part))
        return (others, jax.tree.map(jnp.add, before, (sums, gradients))), None

    first = spread.along(jax.tree.map(lambda array: array[0], divided_batch))
    (others, sums), gradients = function(others, first)
    (others, added), _ = jax.lax.scan(
        add, (others, (sums, gradients)), jnp.arange(1, parts)
    )
    return others, *added


def update(
    train_state: TrainState,
    state: State,
    constants: dict[str, Any],
    gradients: Sequence[Any],
    recipe: Recipe,
    chosen: Sequence[bool],
) -> State:
    """Returns the weights, slots and averages after an update.

    Args:
        train_state: Gives the optimizer; its variables do not change.
        state: Before it.
        constants: Of `constants_of`.
        gradients: One for each trainable variable that is chosen.
        recipe: The run's numbers.
        chosen: Which of the trainable variables are changed.
    """
    optimizer, rate = train_state.optimizer, train_state.rate
    variables = train_state.model.trainable_variables
    slots = optimizer.variables
    mapping = [
        *zip(variables, state["trained"], strict=True),
        *zip(slots, state["slots"], strict=True),
        *zip([rate.fixed] if rate else [], constants["rate"], strict=True),
    ]
    learning = [v for v, yes in zip(variables, chosen, strict=True) if yes]
    with keras.StatelessScope(state_mapping=mapping) as scope:
        learning_rate = keras.ops.convert_to_tensor(optimizer.learning_rate)
        for variable, gradient in zip(learning, gradients, strict=True):
            optimizer.update_step(gradient, variable, learning_rate)
        optimizer.iterations.assign_add(1)
    trained = [scope.get_current_value(v) for v in variables]
    averaged = state["averaged"]
    if averaged:
        moved = _follow(averaged, trained, recipe)
        pairs = zip(averaged, moved, chosen, strict=True)
        averaged = [new if yes else old for old, new, yes in pairs]
    return {
        "trained": trained,
        "slots": [scope.get_current_value(v) for v in slots],
        "averaged": averaged,
        "statistics": state["statistics"],
    }


def _follow(
    averages: Sequence[Any], values: Sequence[Any], recipe: Recipe
) -> list[Any]:
    """Returns the averages a step further."""
    share = 1.0 - (recipe.ema_decay or 0.0)
    return [
        average + (value - average) * share
        for average, value in zip(averages, values, strict=True)
    ]


def clip_by_global_norm(
    gradients: list[Any], clip_norm: float | None
) -> tuple[list[Any], Any]:
    """Returns gradients whose common norm is at most `clip_norm`, and their norm."""
    norm = jnp.sqrt(sum(jnp.sum(jnp.square(each)) for each in gradients))
    if clip_norm is None:
        return gradients, norm
    factor = clip_norm / jnp.maximum(norm, clip_norm)
    return [each * factor for each in gradients], norm
