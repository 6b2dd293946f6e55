"""AdamW's update of one variable in two passes over memory, under TensorFlow.

Written with operations, as `optimizers.LayerwiseAdamW` is for other backends, the
update passes some sixteen times over the parameter and its moments. TensorFlow has one
kernel for Adam; it adds epsilon before the correction of the second moment's start, so
that it is given `epsilon * sqrt(correction_2)` to do what the optimizer says.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

_TYPES = ("float32", "float64")


def is_supported(variable: Any) -> bool:
    """Returns True if a variable is one that the kernel can change in place.

    A variable of Keras is not: in a stateless call it stands for a tensor.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf  # only under its own backend

    return isinstance(variable, tf.Variable) and variable.dtype.name in _TYPES


class StepNumbers(NamedTuple):
    """What a step multiplies with, equal for all variables of a rate and a type.

    Attributes:
        rate: The learning rate over the first moment's correction, times `root`.
        beta_1: Decay of the first moment.
        beta_2: Decay of the second moment.
        epsilon: Added to the root of the second moment, times `root`.
        kept: Share of a decayed parameter that weight decay leaves.
        zero: In the place of the powers that the kernel corrects with, so that it
            corrects nothing: `rate` is the corrected one.
    """

    rate: Any
    beta_1: Any
    beta_2: Any
    epsilon: Any
    kept: Any
    zero: Any


def step_numbers(
    dtype: Any,
    *,
    rate: Any,
    decay: float,
    betas: tuple[float, float],
    epsilon: float,
    step: Any,
    begun: Any = None,
) -> StepNumbers:
    """Returns what a step of AdamW multiplies with.

    Args:
        dtype: The variables' type, of TensorFlow.
        rate: The learning rate.
        decay: Share of the parameter taken away, times the rate; 0 for none.
        betas: Decay of the two moments.
        epsilon: Added to the root of the second moment.
        step: Number of the step, from 1, of the variables' type.
        begun: 0 where nothing is to change, else 1 or None.
    """
    import tensorflow as tf

    # What the kernel takes for them: 1 - float32(0.999) is a hundred-thousandth off.
    rounded = [float(np.asarray(beta, dtype.as_numpy_dtype)) for beta in betas]
    correction_1, correction_2 = (correction(beta, step) for beta in rounded)
    root = tf.sqrt(correction_2)
    kept = [tf.constant(beta, dtype) for beta in rounded]
    if begun is not None:
        rate = rate * begun
        kept = [1.0 - (1.0 - beta) * begun for beta in kept]
    return StepNumbers(
        rate=rate * root / correction_1,
        beta_1=kept[0],
        beta_2=kept[1],
        epsilon=epsilon * root,
        kept=1.0 - rate * decay,
        zero=tf.zeros((), dtype),
    )


def update(
    variable: Any,
    momentum: Any,
    velocity: Any,
    gradient: Any,
    numbers: StepNumbers,
    decays: bool,
) -> None:
    """Takes one step of AdamW with one variable.

    Args:
        variable: A TensorFlow variable.
        momentum: The first moment, a variable like it.
        velocity: The second moment, a variable like it.
        gradient: A tensor of the same shape.
        numbers: Of the step, from `step_numbers`.
        decays: Whether weight decay is for this variable.
    """
    import tensorflow as tf

    if decays:
        variable.assign(variable * numbers.kept)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=momentum.handle,
        v=velocity.handle,
        beta1_power=numbers.zero,
        beta2_power=numbers.zero,
        lr=numbers.rate,
        beta1=numbers.beta_1,
        beta2=numbers.beta_2,
        epsilon=numbers.epsilon,
        grad=ops.cast(gradient, variable.dtype.name),
    )


def graph_in_the_making() -> Any:
    """Returns the graph that operations are added to, None where they run at once."""
    import tensorflow as tf

    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def correction(beta: float, step: Any) -> Any:
    """Returns `1 - beta**step`, which makes up for a moment's start at zero.

    Args:
        beta: The moment's decay, in [0, 1).
        step: Number of the step, from 1.
    """
    # Without the cancellation: beta_2 is close to 1.
    return -ops.expm1(step * (math.log(beta) if beta else -math.inf))
