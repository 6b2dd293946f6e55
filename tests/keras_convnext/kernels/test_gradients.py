"""The gradients written by hand agree with those that TensorFlow derives."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from keras_convnext import layers
from keras_convnext.kernels import depthwise_conv, gelu, layer_norm
from tests.checks import check_equal, derive

RANDOM = np.random.default_rng(0)


def test_gelu_is_x_times_the_normal_distribution_forward_and_backward():
    x = np.linspace(-9, 9, 1001)
    value, gradient = derive(gelu.recompute, x)
    weights = np.arange(1001) % 7 - 3
    # TensorFlow's float64 erf is good to some 1e-8.
    np.testing.assert_allclose(value, x * norm.cdf(x), atol=3e-8)
    expected = weights * (norm.cdf(x) + x * norm.pdf(x))
    np.testing.assert_allclose(gradient, expected, atol=3e-8)


def test_layer_norm_is_the_normalization_of_tensorflow_forward_and_backward():
    x = RANDOM.normal(2.0, 3.0, (3, 4, 5, 16))
    gamma, beta = RANDOM.normal(size=(2, 16))

    def theirs(x, gamma, beta):
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-6)

    check_equal(
        derive(lambda *all: layer_norm.recompute(*all, 1e-6), x, gamma, beta),
        derive(theirs, x, gamma, beta),
        1e-11,
    )


# Up to 4x4 by products; above by convolutions, of 600 channels too many for two
# images to share one.
@pytest.mark.parametrize(
    "shape", [(1, 1, 5), (2, 2, 5), (3, 5, 5), (4, 4, 5), (4, 5, 5), (8, 9, 600)]
)
@pytest.mark.parametrize("kernel_px", [3, 7])
def test_depthwise_convolution_is_that_of_keras_forward_and_backward(shape, kernel_px):
    x = RANDOM.normal(size=(6, *shape)).astype("float32")
    ours = layers.DepthwiseConv2D(kernel_px, padding="same")
    theirs = keras.layers.DepthwiseConv2D(kernel_px, padding="same")
    for layer in (ours, theirs):
        layer.build(x.shape)
    assert ours._is_fast(tf.constant(x))
    ours.set_weights([RANDOM.normal(size=v.shape) for v in ours.weights])
    theirs.set_weights(ours.get_weights())

    def both(layer):
        with tf.GradientTape() as tape:
            image = tf.constant(x)
            tape.watch(image)
            value = layer(image)
            loss = tf.reduce_sum(tf.sin(value))
        variables = [v.value for v in layer.trainable_variables]
        return [value, *tape.gradient(loss, [image, *variables])]

    # Sums of at most 6 * 72 products of float32 numbers near 1.
    check_equal(both(ours), both(theirs), 2e-4)


def tensorflows_filter_gradient(x, upstream, kernel_px):
    return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
        input=x,
        filter_sizes=(kernel_px, kernel_px, x.shape[-1], 1),
        out_backprop=upstream,
        strides=[1, 1, 1, 1],
        padding="SAME",
    )


@pytest.mark.parametrize(
    ("batch", "height", "width", "few"),
    [
        (1, 4, 4, True),
        (1, 4, 5, False),
        (31, 7, 9, False),
        (32, 8, 8, True),
        (128, 12, 12, True),
        (128, 12, 13, False),
        (None, 12, 12, True),
        (None, 14, 14, False),
    ],
)
def test_products_give_the_filters_gradient_of_small_maps_and_large_batches(
    batch, height, width, few, monkeypatch
):
    assert depthwise_conv._has_few_positions(batch, height, width) is few
    # A batch of unknown size is taken for a large one; here it is of 128 images.
    x, upstream = RANDOM.normal(size=(2, batch or 128, height, width, 3)).astype(
        "float32"
    )
    expected = tensorflows_filter_gradient(x, upstream, 5)
    other = "_by_convolutions" if few else "_by_products"
    monkeypatch.setattr(depthwise_conv, other, None)
    # Sums of up to 25,000 float32 products; they are about 160 in size.
    found = tf.function(
        lambda *both: depthwise_conv.filter_gradient(*both, kernel_px=5),
        input_signature=[tf.TensorSpec((batch, height, width, 3))] * 2,
    )(x, upstream)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("images", [0, 1, 5, 24])
def test_the_filters_gradient_takes_any_number_of_images(images):
    # 7 images of 24x24x16 share a convolution.
    x, upstream = RANDOM.normal(size=(2, images, 24, 24, 16)).astype("float32")
    of_any_number = tf.function(
        lambda *both: depthwise_conv.filter_gradient(*both, kernel_px=5),
        input_signature=[tf.TensorSpec((None, 24, 24, 16))] * 2,
    )
    expected = tensorflows_filter_gradient(x, upstream, 5)
    if not images:
        # TensorFlow's own operator leaves what the memory held before.
        expected = np.zeros((5, 5, 16, 1), np.float32)
    # Sums of 14,000 float32 products; they are about 100 in size.
    np.testing.assert_allclose(of_any_number(x, upstream), expected, atol=2e-3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_depthwise_convolution_is_the_float32_one_rounded(dtype):
    x = tf.cast(RANDOM.normal(size=(3, 9, 9, 8)), dtype)
    layer = layers.DepthwiseConv2D(7, padding="same", dtype=f"mixed_{dtype}")
    layer.build(x.shape)
    value, of_input = derive(layer, x)
    plain = keras.layers.DepthwiseConv2D(7, padding="same")
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    wide_value, wide_of_input = derive(plain, tf.cast(x, "float32"))
    assert value.dtype == of_input.dtype == dtype
    # Half the distance of two neighbors, of numbers up to 8.
    tolerance = {"float16": 2**-8, "bfloat16": 2**-5}[dtype]
    for narrow, wide in ((value, wide_value), (of_input, wide_of_input)):
        np.testing.assert_allclose(tf.cast(narrow, "float32"), wide, atol=tolerance)


def test_maps_of_unknown_size_and_other_types_take_the_layer_of_keras():
    layer = layers.DepthwiseConv2D(7, padding="same")
    layer.build((None, 8, 8, 4))
    assert layer._is_fast(tf.zeros((1, 8, 8, 4)))
    assert not layer._is_fast(tf.zeros((1, 8, 8, 4), tf.float64))
    assert not layer._is_fast(keras.Input((8, 8, 4)))


def test_pairs_of_taps_are_the_positions_that_a_filter_reaches():
    # On a map of one row of three and a filter of three, output i sees inputs
    # i-1, i, i+1 through the middle row's taps 3, 4, 5.
    chosen = depthwise_conv._pairs_of_taps(1, 3, 3).reshape(3, 3, 9)
    expected = np.zeros((3, 3, 9))
    for output in range(3):
        for tap, source in ((3, output - 1), (4, output), (5, output + 1)):
            if 0 <= source < 3:
                expected[source, output, tap] = 1
    np.testing.assert_array_equal(chosen, expected)
