"""AdamW's update of one variable in two passes over memory, under TensorFlow.

Written with operations, as `optimizers.LayerwiseAdamW` is for other backends, the
update passes some sixteen times over the parameter and its moments. TensorFlow has one
kernel for Adam; it adds epsilon before the correction of the second moment's start, so
that it is given `epsilon * sqrt(correction_2)` to do what the optimizer says.
"""

from __future__ import annotations

import math
from typing import Any

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


def update(
    variable: Any,
    momentum: Any,
    velocity: Any,
    gradient: Any,
    *,
    rate: Any,
    decay: float,
    betas: tuple[float, float],
    epsilon: float,
    step: Any,
    begun: Any = None,
) -> None:
    """Takes one step of AdamW with one variable.

    Args:
        variable: A TensorFlow variable.
        momentum: The first moment, a variable like it.
        velocity: The second moment, a variable like it.
        gradient: A tensor of the same shape.
        rate: The learning rate.
        decay: Share of the parameter taken away, times the rate; 0 for none.
        betas: Decay of the two moments.
        epsilon: Added to the root of the second moment.
        step: Number of the step, from 1, of the variable's type.
        begun: 0 where nothing is to change, else 1 or None.
    """
    import tensorflow as tf

    dtype = variable.dtype
    # What the kernel takes for them: 1 - float32(0.999) is a hundred-thousandth off.
    rounded = [float(np.asarray(beta, dtype.as_numpy_dtype)) for beta in betas]
    correction_1, correction_2 = (correction(beta, step) for beta in rounded)
    root = tf.sqrt(correction_2)
    kept = [tf.constant(beta, dtype) for beta in rounded]
    if begun is not None:
        rate = rate * begun
        kept = [1.0 - (1.0 - beta) * begun for beta in kept]
    if decay:
        variable.assign(variable * (1.0 - rate * decay))
    zero = tf.zeros((), dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=momentum.handle,
        v=velocity.handle,
        # With powers of zero the kernel corrects nothing: its rate is the corrected.
        beta1_power=zero,
        beta2_power=zero,
        lr=rate * root / correction_1,
        beta1=kept[0],
        beta2=kept[1],
        epsilon=epsilon * root,
        grad=ops.cast(gradient, dtype.name),
    )


def correction(beta: float, step: Any) -> Any:
    """Returns `1 - beta**step`, which makes up for a moment's start at zero.

    Args:
        beta: The moment's decay, in [0, 1).
        step: Number of the step, from 1.
    """
    # Without the cancellation: beta_2 is close to 1.
    return -ops.expm1(step * (math.log(beta) if beta else -math.inf))
