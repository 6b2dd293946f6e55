"""The state of training: the model, its optimizer and its moving average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras

from keras_convnext import optimizers, weights
from keras_convnext._messages import UsageError

from ..data.source import Source
from ..recipes.recipe import Recipe
from ..tasks.task import Task
from . import optimizers as layerwise
from .settable_rate import SettableRate

if TYPE_CHECKING:
    from .loss_scale import LossScale

_MOST_TENSORS = 3
_SCHEDULES = {
    "cosine": optimizers.WarmupCosine,
    "linear": optimizers.WarmupLinear,
    "step": optimizers.WarmupStep,
}


@dataclass(frozen=True)
class TrainState:
    """What a training step changes.

    Attributes:
        model: Takes float32 images `(batch, height, width, 3)` in 0..255, gives
            the outputs that the task's losses take.
        optimizer: Already built on the model's trainable variables.
        averaged: A model like `model` whose weights are the moving average, or
            None.
        loss_scale: For float16, or None.
        frozen_steps: Steps at the start that change the head alone.
        rate: The optimizer's schedule where a callback may set a number in its place.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    averaged: keras.Model | None = None
    loss_scale: LossScale | None = None
    frozen_steps: int = 0
    rate: SettableRate | None = None

    @property
    def eval_model(self) -> keras.Model:
        """The model that is evaluated and saved."""
        return self.averaged or self.model

    def variables(self) -> dict[str, Any]:
        """Returns all that the next step depends on, by names that never change.

        The states of seed generators go by number: Keras names them after how many
        the process has made before.
        """
        weights = {id(variable) for variable in self.model.weights}
        seeds = [v for v in self.model.variables if id(v) not in weights]
        kept = {f"model/{variable.path}": variable for variable in self.model.weights}
        kept |= {f"seed/{number}": variable for number, variable in enumerate(seeds)}
        kept |= _numbered("optimizer", self.optimizer.variables)
        if self.averaged is not None:
            kept |= {f"average/{v.path}": v for v in self.averaged.weights}
        if self.loss_scale is not None:
            kept |= {f"loss_scale/{v.name}": v for v in self.loss_scale.variables()}
        return kept


def _numbered(prefix: str, variables: Sequence[Any]) -> dict[str, Any]:
    """Returns variables by their paths, with a number where a path comes up again.

    Keras' Adafactor calls its variables by the last part of a path alone.
    """
    found: dict[str, Any] = {}
    for variable in variables:
        name, number = f"{prefix}/{variable.path}", 1
        while name in found:
            number += 1
            name = f"{prefix}/{variable.path}.{number}"
        found[name] = variable
    return found


def make(recipe: Recipe, task: Task, source: Source, steps: int) -> TrainState:
    """Builds what learns; to be called in the strategy's scope.

    Args:
        recipe: The run's numbers.
        task: Builds the model that learns.
        source: The data.
        steps: Steps of the whole run.

    Raises:
        UsageError: The recipe's fields make no network.
    """
    try:
        model = task.build_training_model(recipe, source)
        groups = optimizers.parameter_groups(
            model, recipe.layer_decay, recipe.layer_assignment
        )
    except weights.WeightsMismatchError as error:
        raise UsageError(_why_unfit(str(error), recipe.variant)) from error
    except (ValueError, OSError) as error:
        raise UsageError(f"recipe {recipe.name}: {error}") from error
    averaged = None
    if recipe.ema_decay is not None:
        averaged = keras.models.clone_model(model)
        averaged.set_weights(model.get_weights())
    frozen_steps = _frozen_steps(recipe, steps)
    if frozen_steps:
        groups = {
            path: group
            if task.is_head(path)
            else replace(group, first_step=frozen_steps)
            for path, group in groups.items()
        }
    rate = SettableRate(schedule(recipe, steps))
    optimizer = layerwise.make(recipe, rate, groups, task.is_head)
    optimizer.build(model.trainable_variables)
    loss_scale = None
    if recipe.precision == "mixed_float16":
        from .loss_scale import LossScale  # TensorFlow's, which JAX does without

        loss_scale = LossScale()
    return TrainState(model, optimizer, averaged, loss_scale, frozen_steps, rate)


def _why_unfit(text: str, variant: str) -> str:
    """Returns an error's text on one line, with the first few of its tensors.

    Two hundred are named where the variant differs, each on an indented line.
    """
    told: list[str] = []
    named: list[str] = []
    for line in text.splitlines():
        (named if line.startswith(" ") else told).append(line.strip())
    shown = "; ".join(named[:_MOST_TENSORS])
    more = f"; and {len(named) - _MOST_TENSORS} more" if named[_MOST_TENSORS:] else ""
    line = f"{' '.join(told).rstrip(':')}: {shown}{more}" if named else " ".join(told)
    if named and "missing from the file" in line and all(map(_of_layer_scale, named)):
        return f"{line}: --set layer_scale_init_value=none for weights without it"
    return (
        f"{line}; the model is a {variant}, is that what the weights are of? "
        "(--set variant=)"
    )


def _of_layer_scale(tensor: str) -> bool:
    return "_layer_scale/" in tensor


def schedule(
    recipe: Recipe, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the learning rate of every step of a run.

    Args:
        recipe: The run's numbers.
        steps: Steps of the whole run.
    """
    frozen_steps = _frozen_steps(recipe, steps)
    warmup_steps = round(recipe.warmup_epochs * steps / recipe.epochs)
    return _SCHEDULES[recipe.schedule](
        recipe.scaled_lr,
        total_steps=steps,
        warmup_steps=min(warmup_steps, steps - frozen_steps - 1),
        min_lr=recipe.min_lr,
        start_lr=recipe.warmup_start * recipe.scaled_lr,
        held_steps=frozen_steps,
        held_lr=recipe.frozen_lr,
    )


def _frozen_steps(recipe: Recipe, steps: int) -> int:
    return recipe.frozen_epochs * steps // recipe.epochs
