"""The layers against closed forms, in every precision and across reloads."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_convnext.layers import (
    BatchNormalization,
    Dropout,
    GlobalResponseNormalization,
    LayerNorm,
    LayerScale,
    Rematerialized,
    RMSNorm,
    SimpleNorm,
    StochasticDepth,
    gelu,
)
from tests.checks import POLICIES, check_layer

RANDOM = np.random.default_rng(0)


def images(batch=2, side=5, channels=8, scale=1.0):
    return (scale * RANDOM.normal(size=(batch, side, side, channels))).astype("float32")


def set_random(layer):
    for variable in layer.weights:
        variable.assign(RANDOM.uniform(0.1, 1.0, variable.shape))


def test_layer_scale_multiplies_channels_and_names_its_variable_gamma():
    layer = LayerScale(0.5)
    x = images()
    np.testing.assert_array_equal(layer(x), 0.5 * x)
    assert [v.name for v in layer.weights] == ["gamma"]
    assert layer.gamma.shape == (8,)


def layer_norm_by_hand(x, gamma, beta):
    mean = x.mean(-1, keepdims=True)
    variance = x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-6) * gamma + beta


def rms_norm_by_hand(x, gamma):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * gamma


def simple_norm_by_hand(x, gamma):
    return x / np.sqrt(x.var(-1, ddof=1, keepdims=True) + 1e-6) * gamma


def grn_by_hand(x, gamma, beta):
    norms = np.sqrt((x**2).sum(axis=(1, 2), keepdims=True))
    share = norms / (norms.mean(-1, keepdims=True) + 1e-6)
    return x + gamma * x * share + beta


@pytest.mark.parametrize(
    ("layer_class", "by_hand"),
    [
        (LayerNorm, layer_norm_by_hand),
        (RMSNorm, rms_norm_by_hand),
        (SimpleNorm, simple_norm_by_hand),
        (GlobalResponseNormalization, grn_by_hand),
    ],
)
def test_norms_equal_their_formulas_in_float64(layer_class, by_hand):
    layer = layer_class(name="norm")
    x = images() + 3.0
    layer.build(x.shape)
    set_random(layer)
    weights = [np.asarray(v, dtype="float64") for v in layer.weights]
    expected = by_hand(x.astype("float64"), *weights)
    # A dozen float32 operations on numbers near 5: a few units in the last place.
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=2e-6)


def test_norms_compute_in_float32_under_mixed_float16():
    # 60000**2 overflows float16 and so would its sum; the result is near one.
    x = np.full((1, 4, 4, 8), 60000.0, "float16")
    for layer in (RMSNorm(dtype="mixed_float16"), SimpleNorm(dtype="mixed_float16")):
        assert not np.isnan(np.asarray(layer(x), "float32")).any()
    np.testing.assert_allclose(RMSNorm(dtype="mixed_float16")(x), 1.0, rtol=1e-3)
    grn = GlobalResponseNormalization(dtype="mixed_float16")
    np.testing.assert_array_equal(np.asarray(grn(x)), x)


def test_grn_has_finite_gradients_at_an_all_zero_channel():
    x = images()
    x[..., 3] = 0.0
    layer = GlobalResponseNormalization()
    layer.build(x.shape)
    set_random(layer)
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(inputs) ** 2)
    gradients = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])
    assert all(np.isfinite(g).all() for g in gradients)


def test_grn_compiles_with_xla():
    layer = GlobalResponseNormalization()
    x = tf.constant(images())
    layer.build(x.shape)
    set_random(layer)
    compiled = tf.function(layer, jit_compile=True)
    # XLA adds in another order.
    np.testing.assert_allclose(compiled(x), layer(x), rtol=1e-5, atol=1e-6)


def test_gelu_equals_the_normal_distribution_function():
    from math import erf, sqrt

    x = np.linspace(-6, 6, 401)
    expected = [v * 0.5 * (1 + erf(v / sqrt(2))) for v in x]
    # float32's erf is good to a few units of 6e-8 near one; x / 2 is up to 3.
    np.testing.assert_allclose(gelu(x.astype("float32")), expected, atol=1e-6)


def test_stochastic_depth_drops_whole_examples_at_its_rate_and_rescales():
    layer = StochasticDepth(0.25, seed=1)
    x = np.ones((4000, 2, 2, 1), "float32")
    y = np.asarray(layer(x, training=True))
    rows = y[:, 0, 0, 0]
    assert (y == rows[:, None, None, None]).all()
    np.testing.assert_allclose(np.unique(rows), [0.0, 1 / 0.75], rtol=1e-6)
    # Four standard deviations of a binomial of 4000 draws.
    assert abs((rows == 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4000)
    np.testing.assert_array_equal(layer(x, training=False), x)


def test_stochastic_depth_repeats_with_its_seed_and_goes_on_between_calls():
    x = np.ones((64, 1), "float32")
    first, second = StochasticDepth(0.5, seed=7), StochasticDepth(0.5, seed=7)
    draws = [np.asarray(first(x, training=True)) for _ in range(2)]
    again = [np.asarray(second(x, training=True)) for _ in range(2)]
    np.testing.assert_array_equal(draws, again)
    assert (draws[0] != draws[1]).any()


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_stochastic_depth_refuses_a_rate_that_is_no_probability(rate):
    with pytest.raises(ValueError, match=r"probability in \[0, 1\)"):
        StochasticDepth(rate)


@pytest.mark.parametrize(
    "layer",
    [
        LayerScale(0.25, name="a"),
        StochasticDepth(0.125, seed=3, name="b"),
        LayerNorm(1e-5, name="c"),
        RMSNorm(1e-4, name="d"),
        SimpleNorm(1e-3, name="e"),
        GlobalResponseNormalization(1e-5, name="f"),
        Dropout(0.25, seed=3, name="h"),
        BatchNormalization(momentum=0.8, name="i"),
        Rematerialized([LayerScale(0.5), keras.layers.Dense(8)], name="g"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_holds_for_every_layer(layer):
    # Layers inside of another one have policies of their own.
    policies = () if isinstance(layer, Rematerialized) else POLICIES
    check_layer(layer, images(), policies)


def test_rematerialized_layers_have_the_gradients_of_plain_ones():
    x = tf.constant(images())
    chain = [LayerNorm(), keras.layers.Dense(16, activation="tanh"), LayerScale(0.5)]
    layer = Rematerialized(chain)
    layer.build(x.shape)

    def gradients(function):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(function() ** 2)
        return tape.gradient(loss, [v.value for v in layer.trainable_variables])

    plain = gradients(lambda: keras.Sequential(chain)(x, training=True))
    again = gradients(lambda: layer(x, training=True))
    for a, b in zip(plain, again, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
