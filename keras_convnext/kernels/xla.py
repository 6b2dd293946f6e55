"""What the compiled forms of operations are written with.

For TensorFlow on processors. What is exported holds none of this: it is made of plain
operators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

# A quarter of a megabyte in float32: three such tensors stay in a core's cache.
_PART_NUMBERS = 2**16


def sum_over_rows(function: Callable[..., tuple[Any, ...]], *tensors: Any) -> Any:
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
        return function(*(widen(each[:, row]) for each in tensors))

    def add(row: Any, *sums: Any) -> tuple[Any, ...]:
        added = (one + other for one, other in zip(sums, of_row(row), strict=True))
        return row + 1, *added

    rows = tf.shape(tensors[0])[1]
    _, *sums = tf.while_loop(lambda row, *_: row < rows, add, (1, *of_row(0)))
    return tuple(tf.reduce_sum(each[:, None], axis=2, keepdims=True) for each in sums)


def run_in_parts(function: Callable[..., Any], *tensors: Any) -> Any:
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


def widen(x: Any) -> Any:
    """Returns a tensor in float32 at least."""
    import tensorflow as tf

    return tf.cast(x, keras.backend.result_type(x.dtype.name, "float32"))


def compile_function(
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
