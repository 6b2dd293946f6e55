"""The dense layer of a block agrees with that of Keras, forward and backward."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_convnext.kernels import dense
from keras_convnext.layers import Dense

RANDOM = np.random.default_rng(0)


def random(*shape, dtype="float32"):
    return tf.constant(RANDOM.normal(size=shape), dtype)


def pair(channels, units, **arguments):
    """Returns this project's layer and that of Keras with the same weights."""
    layers = [each(units, **arguments) for each in (Dense, keras.layers.Dense)]
    for layer in layers:
        layer.build((None, None, None, channels))
    layers[0].set_weights([RANDOM.normal(size=v.shape) for v in layers[0].weights])
    layers[1].set_weights(layers[0].get_weights())
    return layers


def results(layer, x, upstream):
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = layer(x, training=True)
    variables = [layer.kernel.value, layer.bias.value]
    gradients = tape.gradient(value, [x, *variables], tf.cast(upstream, value.dtype))
    return [tf.cast(each, tf.float32) for each in (value, *gradients)]


@pytest.mark.parametrize("shape", [(2, 3, 5), (7, 8)])
@pytest.mark.parametrize(("channels", "units"), [(8, 32), (32, 8)])
def test_it_is_keras_dense_forward_and_backward(shape, channels, units):
    ours, theirs = pair(channels, units)
    x = random(*shape, channels)
    assert ours._is_fast(x, True)
    given = x, random(*shape, units)
    for one, other in zip(results(ours, *given), results(theirs, *given), strict=True):
        # Sums of up to 56 products of float32 numbers near 1.
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("channels", "units"), [(8, 32), (32, 8)])
def test_under_mixed_bfloat16_it_rounds_no_more_than_it_must(channels, units):
    ours, theirs = pair(channels, units, dtype="mixed_bfloat16")
    x = random(2, 3, 5, channels, dtype="bfloat16")
    exact, _ = pair(channels, units)
    exact.set_weights(ours.get_weights())
    assert ours(x, training=True).dtype == tf.bfloat16
    upstream = random(2, 3, 5, units, dtype="bfloat16")
    expected = results(exact, tf.cast(x, tf.float32), upstream)
    of_keras = results(theirs, x, upstream)
    for one, other, wanted in zip(
        results(ours, x, upstream), of_keras, expected, strict=True
    ):
        # bfloat16 has 8 binary digits; the kernel and every result are rounded to it.
        # Processors without products of such numbers round sums on the way too.
        error, error_of_keras = (
            np.abs(found - wanted).max() / np.abs(wanted).max()
            for found in (one, other)
        )
        assert error <= max(2 * 2**-8, error_of_keras)


def test_the_turned_product_is_the_plain_one():
    x, upstream = random(50, 12), random(50, 5)
    # Sums of 50 products of float32 numbers near 1.
    np.testing.assert_allclose(
        dense.kernel_gradient(x, upstream), x.numpy().T @ upstream.numpy(), atol=1e-4
    )


def test_shapes_that_are_known_stay_known():
    layer, _ = pair(8, 4)

    @tf.function(input_signature=[tf.TensorSpec((None, 6, 7, 8))])
    def graph(x):
        return layer(x, training=True)

    assert graph.get_concrete_function().output_shapes.as_list() == [None, 6, 7, 4]
    assert graph(random(0, 6, 7, 8)).shape == (0, 6, 7, 4)


def test_it_is_keras_own_outside_of_training_and_with_what_it_does_not_know():
    layer, _ = pair(8, 4)
    x = random(2, 3, 3, 8)
    assert not layer._is_fast(x, False)
    assert not layer._is_fast(x, None)
    assert not layer._is_fast(keras.Input((3, 3, 8)), True)
    assert not layer._is_fast(random(2, 8), True)
    assert not pair(8, 4, activation="relu")[0]._is_fast(x, True)
    without = Dense(4, use_bias=False)
    without.build(x.shape)
    assert not without._is_fast(x, True)
    layer.enable_lora(2)
    assert not layer._is_fast(x, True)


def test_it_differentiates_twice():
    layer, plain = pair(3, 2)
    x = random(2, 2, 2, 3)

    def second(layer):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(tf.sin(layer(x, training=True)))
            first = inner.gradient(loss, x)
            squares = tf.reduce_sum(tf.square(first))
        return outer.gradient(squares, x)

    # float32 numbers of about 1, through two sums of a few and their derivatives.
    np.testing.assert_allclose(second(layer), second(plain), rtol=1e-4, atol=1e-4)


def test_it_is_quantized_as_that_of_keras():
    x = random(2, 3, 3, 8)
    ours, theirs = pair(8, 4)
    before = ours(x)
    for layer in (ours, theirs):
        layer.quantize("int8")
    assert ours.kernel.dtype == "int8"
    assert not ours._is_fast(x, True)
    assert np.abs(ours(x) - before).max() > 0
    np.testing.assert_array_equal(ours(x), theirs(x))
