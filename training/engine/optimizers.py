"""The optimizers that a recipe may name, each with rates and decay by parameter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from keras_convnext.optimizers import LayerwiseAdamW, ParameterGroup

from ..recipes.recipe import Recipe

Groups = Mapping[str, ParameterGroup]

IsHead = Callable[[str], bool]


class _ByGroup:
    """What `make` puts before one of Keras' optimizers: settings by parameter.

    Weight decay is decoupled, in front of the optimizer's own update, as Keras does it
    for all variables alike. A parameter that stands still at the start counts its steps
    from its own first one on; the training step passes over it until then.
    """

    decoupled_decay: float
    groups: Groups
    _waited = 0

    def build(self, variables: list[Any]) -> None:
        """Makes the optimizer's variables, and finds the group of each parameter."""
        super().build(variables)  # type: ignore[misc]
        self._groups_by_index = [self.groups[variable.path] for variable in variables]

    @property
    def iterations(self) -> Any:
        """Steps taken; within an update, those of the parameter."""
        taken = super().iterations  # type: ignore[misc]
        return ops.maximum(taken - self._waited, 0) if self._waited else taken

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable in place from its gradient."""
        this: Any = self
        group = self._groups_by_index[this._get_variable_index(variable)]
        rate = ops.cast(learning_rate, variable.dtype) * group.lr_scale
        if group.decays and self.decoupled_decay:
            this.assign_sub(variable, variable * rate * self.decoupled_decay)
        self._waited = group.first_step
        super().update_step(gradient, variable, rate)  # type: ignore[misc]
        self._waited = 0


def _sgd(recipe: Recipe, _: list[str]) -> dict[str, Any]:
    return {"momentum": float(recipe.beta_1)}


def _betas(recipe: Recipe, _: list[str]) -> dict[str, Any]:
    return {"beta_1": recipe.beta_1, "beta_2": recipe.beta_2}


def _adafactor(_: Recipe, __: list[str]) -> dict[str, Any]:
    # The schedule decides.
    return {"relative_step": False}


def _muon(recipe: Recipe, heads: list[str]) -> dict[str, Any]:
    # Outputs are Adam's, as Keras advises; it looks for these in variables' paths.
    return {
        "adam_beta_1": recipe.beta_1,
        "adam_beta_2": recipe.beta_2,
        "exclude_layers": [f"^{re.escape(path)}$" for path in heads],
    }


# Keras' class, and its arguments of a recipe and the paths of the head's variables.
_OF_KERAS: dict[str, tuple[type, Callable[[Recipe, list[str]], dict[str, Any]]]] = {
    "sgd": (keras.optimizers.SGD, _sgd),
    "lion": (keras.optimizers.Lion, _betas),
    "lamb": (keras.optimizers.Lamb, _betas),
    "adafactor": (keras.optimizers.Adafactor, _adafactor),
    "muon": (keras.optimizers.Muon, _muon),
}


def make(recipe: Recipe, rate: Any, groups: Groups, is_head: IsHead) -> Any:
    """Returns a recipe's optimizer, not built yet.

    Args:
        recipe: Its `optimizer`, `weight_decay` and betas are used.
        rate: Learning rate by step.
        groups: Of every variable that is trained, by path.
        is_head: From a variable's path to whether it is of the task's head.
    """
    if recipe.optimizer == "adamw":
        return LayerwiseAdamW(
            rate,
            weight_decay=recipe.weight_decay,
            beta_1=recipe.beta_1,
            beta_2=recipe.beta_2,
            groups=dict(groups),
        )
    kind, arguments_of = _OF_KERAS[recipe.optimizer]
    arguments = arguments_of(recipe, [path for path in groups if is_head(path)])
    layerwise: Any = type(f"Layerwise{kind.__name__}", (_ByGroup, kind), {})
    # Checkpoints know its variables by this name; Keras' own would be numbered.
    made = layerwise(rate, weight_decay=None, name=recipe.optimizer, **arguments)
    made.decoupled_decay = recipe.weight_decay
    made.groups = dict(groups)
    return made
