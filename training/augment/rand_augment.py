"""RandAugment: a few operations, chosen and dosed anew for every image.

The words are timm's: "rand-m9-mstd0.5-inc1" is what ConvNeXt was trained with.
Source: arXiv:1909.13719; the doses are those of timm's set of operations that change
more as the magnitude grows ("inc1").
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from ..recipes.rand_augment_policy import HIGHEST, Policy
from . import affine as geometry
from . import color_ops as operations

# From this on timm draws the magnitude evenly from 0 to m.
_UNIFORM_ABOVE = 100.0


_SIGNATURE = (
    tf.TensorSpec((None, None, 3), tf.uint8),
    tf.TensorSpec((), tf.float32),
    tf.TensorSpec((), tf.float32),
    tf.TensorSpec((3,), tf.uint8),
)


def apply_rand_augment(
    image: tf.Tensor, seed: tf.Tensor, policy: Policy, fill: tuple[int, int, int]
) -> tf.Tensor:
    """Returns an image after the operations that its seed chooses.

    Args:
        image: uint8 `(height, width, 3)`.
        seed: int64 `(2,)`.
        policy: How many, how often and how strongly.
        fill: What comes in where an image is moved.

    Returns:
        uint8 `(height, width, 3)`.
    """
    layer_seeds = tf.random.split(seed, policy.layers)

    def layer(number: tf.Tensor, changed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        done = _one_layer(changed, layer_seeds[number], policy, fill)
        return number + 1, tf.ensure_shape(done, image.shape)

    # A loop of the graph, so that the operations stand in it once.
    _, changed = tf.while_loop(
        lambda number, _: number < policy.layers, layer, (tf.constant(0), image)
    )
    return changed


def _one_layer(
    image: tf.Tensor, seed: tf.Tensor, policy: Policy, fill: tuple[int, int, int]
) -> tf.Tensor:
    even, normal = tf.unstack(tf.random.split(seed, 2))
    draws = tf.random.stateless_uniform([4], even)
    magnitude = policy.magnitude + policy.magnitude_std * (
        tf.random.stateless_normal([], normal)
    )
    if policy.magnitude_std > _UNIFORM_ABOVE:
        magnitude = policy.magnitude * draws[3]
    level = tf.clip_by_value(magnitude, 0.0, HIGHEST) / HIGHEST
    sign = tf.where(draws[2] > 0.5, -1.0, 1.0)
    number = tf.cast(draws[0] * len(OPERATIONS), tf.int32)
    # Behind the last operation comes doing nothing.
    number = tf.where(draws[1] < policy.probability, number, len(OPERATIONS))
    return perform(image, number, level, sign, fill)


def perform(
    image: tf.Tensor,
    number: tf.Tensor,
    level: tf.Tensor,
    sign: tf.Tensor,
    fill: tuple[int, int, int],
) -> tf.Tensor:
    """Returns an image after one operation; none of the others is computed.

    Args:
        image: uint8 `(height, width, 3)`.
        number: Place in `OPERATIONS`; the one behind the last does nothing.
        level: Magnitude on the scale 0..1.
        sign: 1 or -1, for operations that go both ways.
        fill: What comes in where an image is moved.
    """
    around = tf.constant(fill, tf.uint8)

    def branch(operation: Operation) -> Callable[[], tf.Tensor]:
        return lambda: operation(image, level, sign, around)

    branches = [branch(operation) for operation in OPERATIONS.values()]
    return tf.switch_case(number, [*branches, lambda: image])


Operation = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def _plain(change: Callable[[tf.Tensor], tf.Tensor]) -> Operation:
    return lambda image, level, sign, fill: change(image)


def _whole(
    change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    dose: Callable[[tf.Tensor], tf.Tensor],
) -> Operation:
    """An operation whose dose is made of the level's whole steps."""
    return lambda image, level, sign, fill: change(image, dose(level))


def _enhancing(change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Operation:
    """A factor from 0.1 to 1.9, the further from 1 the higher the level."""
    return lambda image, level, sign, fill: change(
        image, tf.maximum(0.1, 1.0 + sign * level * 0.9)
    )


def _moving(
    change: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor], most: float
) -> Operation:
    """A move of up to `most` in either direction."""
    return lambda image, level, sign, fill: change(image, sign * level * most, fill)


def _steps(level: tf.Tensor, most: int) -> tf.Tensor:
    return tf.cast(level * most, tf.int32)


_TABLE: dict[str, Operation] = {
    "AutoContrast": _plain(operations.auto_contrast),
    "Equalize": _plain(operations.equalize),
    "Invert": _plain(operations.invert),
    "Rotate": _moving(geometry.rotate, 30.0),
    "PosterizeIncreasing": _whole(operations.posterize, lambda x: 4 - _steps(x, 4)),
    "SolarizeIncreasing": _whole(operations.solarize, lambda x: 256 - _steps(x, 256)),
    "SolarizeAdd": _whole(operations.solarize_add, lambda x: _steps(x, 110)),
    "ColorIncreasing": _enhancing(operations.color),
    "ContrastIncreasing": _enhancing(operations.contrast),
    "BrightnessIncreasing": _enhancing(operations.brightness),
    "SharpnessIncreasing": _enhancing(operations.sharpness),
    "ShearX": _moving(geometry.shear_x, 0.3),
    "ShearY": _moving(geometry.shear_y, 0.3),
    "TranslateXRel": _moving(geometry.translate_x, 0.45),
    "TranslateYRel": _moving(geometry.translate_y, 0.45),
}
# These two count and sort levels, which XLA compiles for seconds and to no gain.
_PLAIN = ("AutoContrast", "Equalize")
# The others are compiled, each on its first use: one loop over the pixels in place of
# many passes. They also stay functions that are called. What is not compiled is copied
# into the graph, where even an operation that is not chosen costs time.
OPERATIONS: dict[str, Operation] = {
    name: tf.function(
        operation,
        input_signature=_SIGNATURE,
        autograph=False,
        jit_compile=name not in _PLAIN,
    )
    for name, operation in _TABLE.items()
}
