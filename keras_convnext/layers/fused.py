"""GELU and norms of a training step, each a few loops over memory.

Operation by operation, GELU and its gradient pass over memory some fifteen times, layer
and Global Response Normalization some twenty, and on processors that takes longer than
the matrix products between them. Here XLA compiles each pass that is needed into one
loop. Only for TensorFlow on processors and only while training: what is
exported is made of plain operators, and under JAX everything is compiled anyway. The
forms that these agree with stand in `lean` and where these are called
(`activations.Activation`, `norm.LayerNorm`, `grn.GlobalResponseNormalization`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import keras

from keras_convnext.layers import lean

_INVERSE_SQRT_2 = 1.0 / math.sqrt(2.0)
_INVERSE_SQRT_2_PI = 1.0 / math.sqrt(2.0 * math.pi)
# Added under the square root of a response's norm: the gradient of sqrt at an all-zero
# channel would be infinite. Its own contribution, sqrt(1e-12) = 1e-6, is below
# float32's resolution of any response that matters.
SQRT_GUARD = 1e-12
# A quarter of a megabyte in float32: three such tensors stay in a core's cache.
_PART_NUMBERS = 2**16


def is_supported(x: Any, training: Any) -> bool:
    """Returns True if a layer's inputs are what the functions here are for."""
    return training is True and lean.is_supported(x) and not has_gpu()


@cache
def has_gpu() -> bool:
    """Returns True if TensorFlow sees a GPU, where no such gain has been measured."""
    import tensorflow as tf  # only under its own backend

    return bool(tf.config.list_physical_devices("GPU"))


def gelu(x: Any) -> Any:
    """Returns `x * Phi(x)` and keeps `x` alone for the gradient.

    Args:
        x: Tensor of any shape; 16-bit types are computed in float32.
    """
    return _gelu()(x)


def layer_norm(x: Any, gamma: Any, beta: Any, epsilon: float, dtype: str) -> Any:
    """Returns `(x - mean) / sqrt(variance + epsilon) * gamma + beta`, by position.

    Keeps `x` alone for the gradient.

    Args:
        x: Tensor `(..., channels)`; 16-bit types are computed in float32.
        gamma: Tensor `(channels,)`.
        beta: Tensor `(channels,)`.
        epsilon: Added to the variance.
        dtype: Type of the result.
    """
    return _layer_norm(epsilon, dtype)(x, gamma, beta)


def grn(x: Any, gamma: Any, beta: Any, epsilon: float, dtype: str) -> Any:
    """Returns `x * (1 + gamma * share) + beta`, as `grn.GlobalResponseNormalization`.

    Keeps `x` and a few numbers a channel for the gradient.

    Args:
        x: Tensor `(batch, height, width, channels)`; 16-bit types are computed in
            float32.
        gamma: Tensor `(channels,)`.
        beta: Tensor `(channels,)`.
        epsilon: Added to the mean of the norms.
        dtype: Type of the result.
    """
    return _grn(epsilon, dtype)(x, gamma, beta)


# Made on the first call: no TensorFlow is imported under another backend.
@cache
def _gelu() -> Callable[[Any], Any]:
    import tensorflow as tf

    @_compiled
    def value(x: Any) -> Any:
        wide = _wide(x)
        result = 0.5 * wide * (1.0 + tf.math.erf(wide * _INVERSE_SQRT_2))
        return tf.cast(result, x.dtype)

    @_compiled
    def slope(x: Any, upstream: Any) -> Any:
        wide = _wide(x)
        share = 0.5 + 0.5 * tf.math.erf(wide * _INVERSE_SQRT_2)
        density = tf.exp(wide * wide * -0.5) * _INVERSE_SQRT_2_PI
        return tf.cast(_wide(upstream) * (share + wide * density), x.dtype)

    @tf.custom_gradient
    def gelu(x: Any) -> tuple[Any, Callable[[Any], Any]]:
        return value(x), lambda upstream: slope(x, upstream)

    function: Callable[[Any], Any] = gelu
    return function


@cache
def _layer_norm(epsilon: float, dtype: str) -> Callable[[Any, Any, Any], Any]:
    import tensorflow as tf

    def normalized(x: Any) -> tuple[Any, Any]:
        wide = _wide(x)
        centered = wide - tf.reduce_mean(wide, axis=-1, keepdims=True)
        variance = tf.reduce_mean(centered * centered, axis=-1, keepdims=True)
        factor = tf.math.rsqrt(variance + epsilon)
        return centered * factor, factor

    @_compiled
    def value(x: Any, gamma: Any, beta: Any) -> Any:
        return tf.cast(normalized(x)[0] * gamma + beta, dtype)

    def slope(x: Any, upstream: Any, gamma: Any) -> tuple[Any, Any, Any]:
        normal, factor = normalized(x)
        upstream = _wide(upstream)
        inner = upstream * gamma
        along = tf.reduce_mean(inner * normal, axis=-1, keepdims=True)
        middle = tf.reduce_mean(inner, axis=-1, keepdims=True)
        rest = list(range(len(x.shape) - 1))
        return (
            tf.cast(factor * (inner - middle - normal * along), x.dtype),
            tf.reduce_sum(upstream * normal, axis=rest),
            tf.reduce_sum(upstream, axis=rest),
        )

    @partial(_compiled, plain=slope)
    def slope_in_parts(x: Any, upstream: Any, gamma: Any) -> Any:
        def of_part(x: Any, upstream: Any) -> Any:
            return slope(x, upstream, gamma)

        return _part_by_part(of_part, x, upstream)

    @tf.custom_gradient
    def layer_norm(x: Any, gamma: Any, beta: Any) -> tuple[Any, Callable[[Any], Any]]:
        def gradient(upstream: Any) -> Any:
            return slope_in_parts(x, upstream, gamma)

        return value(x, gamma, beta), gradient

    function: Callable[[Any, Any, Any], Any] = layer_norm
    return function


@cache
def _grn(epsilon: float, dtype: str) -> Callable[[Any, Any, Any], Any]:
    import tensorflow as tf

    def mean(x: Any) -> Any:
        return tf.reduce_mean(x, axis=-1, keepdims=True)

    # A program for every pass over memory: in one of all of them XLA computes what
    # stands between the passes again at every position.
    @_compiled
    def squares(x: Any) -> Any:
        (total,) = _over_rows(lambda row: (row * row,), x)
        return total

    @_compiled
    def value(x: Any, factor: Any, beta: Any) -> Any:
        return tf.cast(_wide(x) * factor + beta, dtype)

    @_compiled
    def sums(x: Any, upstream: Any) -> Any:
        return _over_rows(lambda row, above: (row * above, above), x, upstream)

    @_compiled
    def slope(x: Any, upstream: Any, factor: Any, inward: Any) -> Any:
        return tf.cast(_wide(upstream) * factor + _wide(x) * inward, x.dtype)

    @tf.custom_gradient
    def grn(x: Any, gamma: Any, beta: Any) -> tuple[Any, Callable[[Any], Any]]:
        norms = tf.sqrt(squares(x) + SQRT_GUARD)
        middle = mean(norms) + epsilon
        share = norms / middle
        factor = 1.0 + gamma * share

        def gradient(upstream: Any) -> tuple[Any, Any, Any]:
            along, total = sums(x, upstream)
            inner = gamma * along
            # The gradient of a norm, over the norm: its own is x over the norm.
            inward = (inner - mean(inner * share)) / (middle * norms)
            return (
                slope(x, upstream, factor, inward),
                tf.reduce_sum(share * along, axis=(0, 1, 2)),
                tf.reduce_sum(total, axis=(0, 1, 2)),
            )

        return value(x, factor, beta), gradient

    function: Callable[[Any, Any, Any], Any] = grn
    return function


def _over_rows(function: Callable[..., tuple[Any, ...]], *tensors: Any) -> Any:
    """Returns sums over the positions of each image, `(batch, 1, 1, channels)`.

    XLA writes what is summed over two axes into memory before it adds it up. Here it
    adds a row of all images to a sum that stays in the cache.

    Args:
        function: From rows `(batch, width, channels)`, float32 at least, to numbers of
            the same shape for each sum.
        tensors: `(batch, height, width, channels)`, all of one shape.
    """
    import tensorflow as tf

    def of_row(row: Any) -> tuple[Any, ...]:
        return function(*(_wide(each[:, row]) for each in tensors))

    def add(row: Any, *sums: Any) -> tuple[Any, ...]:
        added = (one + other for one, other in zip(sums, of_row(row), strict=True))
        return row + 1, *added

    rows = tf.shape(tensors[0])[1]
    _, *sums = tf.while_loop(lambda row, *_: row < rows, add, (1, *of_row(0)))
    return tuple(tf.reduce_sum(each[:, None], axis=2, keepdims=True) for each in sums)


def _part_by_part(function: Callable[..., Any], *tensors: Any) -> Any:
    """Returns a function's results over all positions, one part after another.

    XLA makes a loop of every sum and of what follows it. On a part, all but the first
    of these loops find their numbers in the cache.

    Args:
        function: From tensors `(positions, channels)` to one of the first one's shape
            and type, and to float sums `(channels,)`.
        tensors: `(..., channels)`, all of one shape.

    Returns:
        The first result in the tensors' shape, and the others summed over the parts.
    """
    import tensorflow as tf

    like = tensors[0]
    positions = positions_of_a_part(like.shape)
    shape = (-1, positions, like.shape[-1])
    parts = [_bits(tf.reshape(each, shape)) for each in tensors]
    count = tf.shape(parts[0])[0]

    def of_part(part: Any) -> tuple[Any, ...]:
        values = (
            tf.bitcast(each[part], all.dtype)
            for each, all in zip(parts, tensors, strict=True)
        )
        first, *sums = function(*values)
        return _bits(first), *sums

    first, *sums = of_part(0)
    results = tf.TensorArray(first.dtype, count, element_shape=first.shape)

    def add(part: Any, results: Any, *sums: Any) -> tuple[Any, ...]:
        result, *more = of_part(part)
        added = (one + other for one, other in zip(sums, more, strict=True))
        return part + 1, results.write(part, result), *added

    _, results, *sums = tf.while_loop(
        lambda part, *_: part < count, add, (0, results, *map(tf.zeros_like, sums))
    )
    joined = tf.bitcast(results.stack(), like.dtype)
    return tf.reshape(joined, tf.shape(like)), *sums


def _bits(x: Any) -> Any:
    """Returns a 16-bit tensor's bits, and any other tensor as it is.

    XLA would keep 16-bit floats in float32 and convert all parts at every one.
    """
    import tensorflow as tf

    return tf.bitcast(x, tf.uint16) if x.dtype.size == 2 else x


def positions_of_a_part(shape: Sequence[int | None]) -> int:
    """Returns how many positions of a tensor `(..., channels)` make one part.

    As many as fit into `_PART_NUMBERS` numbers, of those that divide them all.
    """
    most = max(1, _PART_NUMBERS // (shape[-1] or 1))
    positions = 1
    for size in reversed(shape[:-1]):
        if size is None:
            break
        divisors = (n for n in range(1, size + 1) if size % n == 0)
        factor = max(n for n in divisors if n == 1 or n * positions <= most)
        positions *= factor
        if factor < size:
            break
    return positions


def _wide(x: Any) -> Any:
    """Returns a tensor in float32 at least."""
    import tensorflow as tf

    return tf.cast(x, keras.backend.result_type(x.dtype.name, "float32"))


def _compiled(
    function: Callable[..., Any], plain: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """Returns a function of tensors that XLA makes one program of for each shape.

    Args:
        function: What is compiled.
        plain: What computes the same and can be differentiated; `function`, unless
            given. Its gradient is not compiled.
    """
    import tensorflow as tf

    # One for each kind of tensors: TensorFlow warns of a function that it traces often.
    made: dict[Any, Callable[..., Any]] = {}

    def compiled(*tensors: Any) -> Any:
        kinds = tuple((each.dtype, str(each.shape)) for each in tensors)
        if kinds not in made:
            made[kinds] = tf.function(
                lambda *all: function(*all), jit_compile=True, autograph=False
            )
        # An outer tape would have the program differentiated.
        return made[kinds](*map(tf.stop_gradient, tensors))

    @tf.custom_gradient
    def call(*tensors: Any) -> tuple[Any, Callable[..., Any]]:
        def gradient(*upstreams: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                results = (plain or function)(*tensors)
            return tape.gradient(results, tensors, upstreams)

        return compiled(*tensors), gradient

    result: Callable[..., Any] = call
    return result
