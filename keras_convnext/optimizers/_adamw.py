"""AdamW with settings for each parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_convnext.layer_decay import lr_scales
from keras_convnext.layers import (
    GlobalResponseNormalization,
    LayerNorm,
    LayerScale,
    RMSNorm,
    SimpleNorm,
)
from keras_convnext.optimizers import _adam_kernel as adam_kernel

UNDECAYED_LAYERS = (
    LayerNorm,
    RMSNorm,
    SimpleNorm,
    LayerScale,
    GlobalResponseNormalization,
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)


@dataclass(frozen=True)
class ParameterGroup:
    """How one parameter is treated.

    Attributes:
        lr_scale: Factor on the learning rate, and with it on the weight decay.
        decays: Whether weight decay pulls the parameter towards zero.
        first_step: Number of the step, from 0, that first changes the parameter;
            until then it stands still and its moments stay zero.

    Example:
        >>> from keras_convnext.optimizers import ParameterGroup
        >>> ParameterGroup(lr_scale=0.5, decays=False)
        ParameterGroup(lr_scale=0.5, decays=False, first_step=0)
    """

    lr_scale: float = 1.0
    decays: bool = True
    first_step: int = 0


def parameter_groups(
    model: keras.Model, layer_decay: float | None = None, assignment: str = "group"
) -> dict[str, ParameterGroup]:
    """Leaves weight decay off biases, norms, layer scale and GRN.

    Decided by the kind of the layer and the rank of the parameter, never by its
    name: a parameter of rank 0 or 1 is a bias or a factor wherever it sits.

    Args:
        model: A built model.
        layer_decay: Factor on the learning rate from one layer to the one before
            it, for fine-tuning a ConvNeXt; None leaves all rates alike.
        assignment: What counts as one layer; see `layer_decay.lr_scales`.

    Returns:
        A group for the path of every trainable variable, for `LayerwiseAdamW`.

    Raises:
        ValueError: `layer_decay` or `assignment` does not fit.

    Source: arXiv:2201.03545, appendix A; the official code's `get_parameter_groups`.

    Example:
        >>> import keras_convnext
        >>> from keras_convnext.optimizers import parameter_groups
        >>> model = keras_convnext.create("convnext_atto", classes=10)
        >>> groups = parameter_groups(model)
        >>> groups["head_norm/gamma"].decays, groups["stem_conv/kernel"].decays
        (False, True)
    """
    undecayed = {
        variable.path
        for layer in _layers(model)
        if isinstance(layer, UNDECAYED_LAYERS)
        for variable in layer.trainable_variables
    }
    scales = {}
    if layer_decay is not None:
        scales = lr_scales(model, layer_decay, assignment)
    return {
        variable.path: ParameterGroup(
            lr_scale=scales.get(variable.path, 1.0),
            decays=len(variable.shape) > 1 and variable.path not in undecayed,
        )
        for variable in model.trainable_variables
    }


def _layers(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Yields `layer` and every layer inside it, at any depth."""
    yield layer
    inside = list(getattr(layer, "layers", ()))
    if isinstance(layer, keras.layers.Wrapper):
        inside.append(layer.layer)
    for child in inside:
        yield from _layers(child)


@dataclass
class _Shared:
    """What the variables of one step share, by group; None outside of `one_step`."""

    numbers: dict[Any, adam_kernel.StepNumbers] | None = None


@keras.saving.register_keras_serializable(package="keras_convnext")
class LayerwiseAdamW(keras.optimizers.Optimizer):
    """AdamW whose learning rate and decay may differ from parameter to parameter.

    The update is `torch.optim.AdamW`'s: epsilon is added after the bias
    correction, and the decay is multiplied by the parameter's own learning rate,
    so that layer-wise learning rates scale the decay too. (Keras' AdamW adds
    epsilon before the correction and decays with the global rate.)

    The groups are keyed by variable path and saved with the optimizer, so a
    reloaded model trains on as before.

    Args:
        learning_rate: A number or a schedule.
        weight_decay: Decoupled weight decay; each step takes
            `learning_rate * weight_decay` of the parameter away.
        beta_1: Decay of the first moment, in [0, 1).
        beta_2: Decay of the second moment, in [0, 1).
        epsilon: Added to the root of the second moment.
        groups: `ParameterGroup` by variable path; parameters without one are
            updated at the full rate and decay. See `parameter_groups`.
        name: The optimizer's.

    Source: arXiv:1711.05101, algorithm 2.

    Example:
        >>> import keras_convnext
        >>> from keras_convnext.optimizers import LayerwiseAdamW, parameter_groups
        >>> model = keras_convnext.create("convnext_atto", classes=10)
        >>> groups = parameter_groups(model, layer_decay=0.8)
        >>> optimizer = LayerwiseAdamW(1e-4, groups=groups)
        >>> model.compile(optimizer, "categorical_crossentropy")
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        weight_decay: float = 0.05,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        groups: Mapping[str, Any] | None = None,
        name: str = "layerwise_adamw",
        **kwargs: Any,
    ) -> None:
        # Keras would decay every parameter with the global rate: not told of it.
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self._shared = _Shared()
        self.decoupled_decay = float(weight_decay)
        self.beta_1 = float(beta_1)
        self.beta_2 = float(beta_2)
        self.epsilon = float(epsilon)
        self.groups = {
            path: group if isinstance(group, ParameterGroup) else ParameterGroup(*group)
            for path, group in (groups or {}).items()
        }

    def build(self, variables: list[Any]) -> None:
        """Makes the moments of each variable.

        Raises:
            ValueError: A group is for a path that no variable has.
        """
        if self.built:
            return
        super().build(variables)
        paths = [getattr(variable, "path", variable.name) for variable in variables]
        unknown = sorted(set(self.groups) - set(paths))
        if unknown:
            raise ValueError(
                "LayerwiseAdamW has groups for variables that it was not given: "
                f"{', '.join(unknown[:5])}{' ...' if len(unknown) > 5 else ''}."
            )
        self._groups_by_index = [
            self.groups.get(path, ParameterGroup()) for path in paths
        ]
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Updates all variables in place from their gradients."""
        with self.one_step():
            super().apply(grads, trainable_variables)

    @contextmanager
    def one_step(self) -> Iterator[None]:
        """Within it, `update_step` computes once what variables share.

        All calls must be of one step with one learning rate. `apply` does this.
        """
        self._shared.numbers = {}
        try:
            yield
        finally:
            self._shared.numbers = None

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable in place from its gradient."""
        index = self._get_variable_index(variable)
        group = self._groups_by_index[index]
        momentum, velocity = self._momentums[index], self._velocities[index]
        if adam_kernel.is_supported(variable):
            adam_kernel.update(
                variable,
                momentum.value,
                velocity.value,
                gradient,
                self._shared_numbers(variable.dtype, group, learning_rate),
                decays=group.decays and self.decoupled_decay > 0,
            )
            return
        dtype = keras.backend.standardize_dtype(variable.dtype)
        rate, step, begun = self._of_group(group, learning_rate, dtype)
        gradient = ops.cast(gradient, dtype)
        share_1, share_2 = 1 - self.beta_1, 1 - self.beta_2
        if begun is not None:
            rate, share_1, share_2 = rate * begun, share_1 * begun, share_2 * begun
        correction_1 = adam_kernel.correction(self.beta_1, step)
        correction_2 = adam_kernel.correction(self.beta_2, step)

        self.assign_add(momentum, (gradient - momentum) * share_1)
        self.assign_add(velocity, (ops.square(gradient) - velocity) * share_2)
        root = ops.sqrt(velocity / correction_2) + self.epsilon
        change = rate / correction_1 * (momentum / root)
        if group.decays and self.decoupled_decay:
            change = change + rate * self.decoupled_decay * variable
        self.assign_sub(variable, change)

    def _of_group(self, group: ParameterGroup, learning_rate: Any, dtype: str) -> Any:
        """Returns a group's rate and step, and 0 as long as it stands still."""
        rate = ops.cast(learning_rate, dtype) * group.lr_scale
        step = ops.cast(self.iterations + 1, dtype)
        if not group.first_step:
            return rate, step, None
        begun = ops.cast(self.iterations >= group.first_step, dtype)
        # The moments' start at zero is made up for from their own first step on.
        return rate, ops.maximum(step - group.first_step, 1), begun

    def _shared_numbers(
        self, dtype: Any, group: ParameterGroup, learning_rate: Any
    ) -> adam_kernel.StepNumbers:
        """Returns what a step multiplies with, the same for equal groups."""
        key = (
            dtype,
            group.lr_scale,
            group.first_step,
            adam_kernel.graph_in_the_making(),
        )
        made = self._shared.numbers
        if made is not None and key in made:
            return made[key]
        rate, step, begun = self._of_group(group, learning_rate, dtype.name)
        numbers = adam_kernel.step_numbers(
            dtype,
            rate=rate,
            decay=self.decoupled_decay,
            betas=(self.beta_1, self.beta_2),
            epsilon=self.epsilon,
            step=step,
            begun=begun,
        )
        if made is not None:
            made[key] = numbers
        return numbers

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "weight_decay": self.decoupled_decay,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "groups": {
                path: [group.lr_scale, group.decays, group.first_step]
                for path, group in self.groups.items()
            },
        }
