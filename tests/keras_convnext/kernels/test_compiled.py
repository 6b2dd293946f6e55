"""The loops that a training step is compiled to agree with the plain layers."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_convnext import builders, kernels, layers, variants
from keras_convnext.kernels import gelu, grn, layer_norm, support, xla
from tests.checks import check_equal, derive

RANDOM = np.random.default_rng(0)


def random(*shape, dtype="float32"):
    return tf.constant(RANDOM.normal(1.0, 2.0, shape), dtype)


def test_gelu_agrees_with_its_plain_form_forward_and_backward():
    x = tf.constant(np.linspace(-9, 9, 1001), tf.float64)

    def plain(x):
        return 0.5 * x * (1.0 + tf.math.erf(x / np.sqrt(2.0)))

    check_equal(derive(gelu.compiled, x), derive(plain, x), 1e-7)
    # float32's resolution of numbers up to 9 times 3.
    single = tf.cast(x, tf.float32)
    check_equal(derive(gelu.compiled, single), derive(plain, single), 5e-6)


def plain_layer_norm(x, gamma, beta):
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-6)


def plain_grn(x, gamma, beta):
    norms = tf.sqrt(tf.reduce_sum(x * x, axis=(1, 2), keepdims=True) + 1e-12)
    share = norms / (tf.reduce_mean(norms, axis=-1, keepdims=True) + 1e-6)
    return x + beta + gamma * x * share


@pytest.mark.parametrize(
    ("function", "plain", "shape"),
    [
        pytest.param(
            *(layer_norm.compiled, plain_layer_norm, (6, 16)), marks=pytest.mark.slow
        ),
        (layer_norm.compiled, plain_layer_norm, (3, 4, 5, 16)),
        (grn.compiled, plain_grn, (3, 4, 5, 6)),
        (grn.compiled, plain_grn, (2, 1, 1, 6)),
        pytest.param(*(grn.compiled, plain_grn, (1, 7, 3, 6)), marks=pytest.mark.slow),
    ],
)
def test_a_norm_agrees_with_its_plain_form_forward_and_backward(function, plain, shape):
    arguments = random(*shape), random(shape[-1]), random(shape[-1])

    def ours(*arguments):
        return function(*arguments, 1e-6, arguments[0].dtype.name)

    # Sums of up to 60 float32 numbers of about 10.
    check_equal(derive(ours, *arguments), derive(plain, *arguments), 1e-4)
    double = [tf.cast(each, tf.float64) for each in arguments]
    check_equal(derive(ours, *double), derive(plain, *double), 1e-11)


def test_grn_has_no_infinite_gradient_where_there_is_no_response():
    arguments = tf.zeros((2, 3, 3, 4)), random(4), random(4)
    for one in derive(lambda *all: grn.compiled(*all, 1e-6, "float32"), *arguments):
        assert np.isfinite(one).all()


@pytest.mark.parametrize("shape", [(None, 4, 5, 6), (None, None, None, 6)])
def test_grn_takes_images_of_a_size_that_a_graph_does_not_know(shape):
    arguments = random(3, 4, 5, 6), random(6), random(6)

    def ours(*all):
        return derive(lambda *all: grn.compiled(*all, 1e-6, "float32"), *all)

    given = tf.TensorSpec(shape), tf.TensorSpec((6,)), tf.TensorSpec((6,))
    graph = tf.function(ours, autograph=False).get_concrete_function(*given)
    check_equal(graph(*arguments), derive(plain_grn, *arguments), 1e-4)


@pytest.mark.parametrize(
    ("shape", "positions"),
    [
        # Numbers of a part, at most 64 * 1024, over the channels.
        ((16, 56, 56, 96), 8 * 56),
        ((None, 56, 56, 96), 8 * 56),
        ((128, 2, 2, 320), 32 * 4),
        ((None, 2, 2, 320), 4),
        ((7, 1, 1, 10), 7),
        ((3, None, None, 8), 1),
        ((30, 16), 30),
        ((2, 5, 100_000), 1),
    ],
)
def test_a_part_is_what_fits_into_the_cache_and_divides_all(shape, positions):
    assert xla.positions_of_a_part(shape) == positions


@pytest.mark.parametrize(
    ("dtype", "static"),
    [
        ("float32", True),
        ("bfloat16", False),
        pytest.param("float32", False, marks=pytest.mark.slow),
        pytest.param("bfloat16", True, marks=pytest.mark.slow),
    ],
)
def test_the_gradients_of_many_parts_are_those_of_one(dtype, static, monkeypatch):
    arguments = random(6, 4, 8, 16, dtype=dtype), random(16), random(16)

    def gradients(epsilon):
        @tf.function(autograph=False)
        def found(x, gamma, beta):
            def function(*all):
                return layer_norm.compiled(*all, epsilon, "float32")

            return derive(function, x, gamma, beta)

        given = [tf.TensorSpec(each.shape, each.dtype) for each in arguments]
        if not static:
            given[0] = tf.TensorSpec((None, None, 8, 16), dtype)
        return found.get_concrete_function(*given)(*arguments)

    whole = gradients(1e-3)
    monkeypatch.setattr(xla, "_PART_NUMBERS", 16 * 32)
    # Another epsilon, so that the function is made anew; too small to be seen.
    # Sums of 192 float32 numbers of about 10, in another order.
    check_equal(gradients(1.0000001e-3), whole, 1e-2 if dtype == "bfloat16" else 1e-4)


@pytest.mark.parametrize("name", ["gelu", "layer_norm", "grn"])
def test_sixteen_bit_numbers_are_computed_in_float32_and_rounded_once(name):
    x = random(2, 4, 5, 16, dtype="bfloat16")
    upstream = random(2, 4, 5, 16, dtype="bfloat16")
    gamma, beta = random(16), random(16)
    function, wide, *others = {
        "gelu": (gelu.compiled, gelu.recompute),
        "layer_norm": (
            lambda *all: layer_norm.compiled(*all, 1e-6, "bfloat16"),
            lambda *all: layer_norm.recompute(*all, 1e-6),
            gamma,
            beta,
        ),
        "grn": (
            lambda *all: grn.compiled(*all, 1e-6, "bfloat16"),
            plain_grn,
            gamma,
            beta,
        ),
    }[name]

    def both(function, x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x, *others)
        return value, tape.gradient(value, x, upstream)

    ours = both(function, x, upstream)
    expected = both(wide, tf.cast(x, tf.float32), tf.cast(upstream, tf.float32))
    for one, other in zip(ours, expected, strict=True):
        assert one.dtype == tf.bfloat16
        # Half a unit in the last of bfloat16's 8 digits, and what float32 adds.
        np.testing.assert_allclose(
            tf.cast(one, tf.float32), other, rtol=2**-8, atol=1e-5
        )


@pytest.mark.parametrize("form", [gelu.recompute, gelu.compiled])
def test_gelu_differentiates_twice(form):
    x = tf.constant(np.linspace(-3, 3, 13))
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = form(x)
        first = inner.gradient(y, x)
    # (2 - x^2) times the normal density.
    density = np.exp(-(x.numpy() ** 2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(
        outer.gradient(first, x), (2 - x.numpy() ** 2) * density, atol=1e-7
    )


@pytest.mark.parametrize(
    ("function", "plain"),
    [(layer_norm.compiled, plain_layer_norm), (grn.compiled, plain_grn)],
)
def test_a_norm_differentiates_twice(function, plain):
    x, gamma, beta = (
        tf.cast(each, tf.float64) for each in (random(2, 3, 2, 6), random(6), random(6))
    )

    def ours(*all):
        return function(*all, 1e-6, "float64")

    def twice(function):
        with tf.GradientTape() as outer:
            outer.watch([x, gamma])
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(tf.sin(function(x, gamma, beta)))
            first = inner.gradient(y, x)
            loss = tf.reduce_sum(tf.square(first))
        return outer.gradient(loss, [x, gamma])

    check_equal(twice(ours), twice(plain), 1e-9)


def test_layers_use_the_compiled_loops_while_training_and_only_then(monkeypatch):
    called = []
    for name in ("gelu", "layer_norm", "grn"):
        kernel = getattr(kernels, name)
        function = kernel.compiled
        monkeypatch.setattr(
            kernel,
            "compiled",
            lambda *all, name=name, function=function: (
                called.append(name) or function(*all)
            ),
        )
    chain = (
        layers.LayerNorm(),
        layers.Activation(layers.gelu),
        layers.GlobalResponseNormalization(),
        layers.Activation("silu"),
    )

    def run(training):
        x = random(2, 3, 3, 4)
        for layer in chain:
            x = layer(x, training=training)

    for training in (False, None):
        run(training)
    assert called == []
    run(True)
    assert called == ["layer_norm", "gelu", "grn"]


def compiled_by_xla(graph):
    """Returns how many functions of a graph XLA compiles."""
    return sum(each.attr["_XlaMustCompile"].b for each in graph.library.function)


def small_model(with_grn=False, **arguments):
    row = dataclasses.replace(
        variants.find_variant("test_convnext"),
        depths=(1, 2),
        widths=(24, 32),
        activation="gelu",
        grn=with_grn,
    )
    return builders.build(row, input_shape=(32, 32, 3), classes=3, seed=0, **arguments)


@pytest.mark.parametrize("with_grn", [False, True])
@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.slow
def test_a_model_has_the_gradients_that_plain_operators_give_it(
    remat, with_grn, monkeypatch
):
    model = small_model(with_grn, remat=remat)
    for variable in model.trainable_variables:
        # Layer scale and GRN begin with values that let next to nothing through.
        if len(variable.shape) == 1:
            variable.assign(tf.abs(random(*variable.shape)) * 0.1 + 0.1)
    images = random(4, 32, 32, 3) * 50.0

    def gradients():
        @tf.function(autograph=False)
        def step(images):
            with tf.GradientTape() as tape:
                scores = model(images, training=True)
                loss = tf.reduce_sum(scores * tf.constant([1.0, -2.0, 3.0]))
            return tape.gradient(loss, [v.value for v in model.trainable_variables])

        graph = step.get_concrete_function(images).graph.as_graph_def()
        return compiled_by_xla(graph), step(images)

    compiled, ours = gradients()
    assert compiled
    monkeypatch.setattr(support, "can_compile", lambda x, training: False)
    compiled, plain = gradients()
    assert not compiled
    for one, other in zip(ours, plain, strict=True):
        # Some hundred float32 operations one after another.
        np.testing.assert_allclose(
            one, other, rtol=1e-3, atol=1e-5 * np.abs(other).max()
        )


def test_nothing_of_it_is_in_an_exported_model(tmp_path):
    model = small_model()
    model(random(1, 32, 32, 3), training=True)
    model.export(tmp_path, verbose=False)
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((tmp_path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    assert graph.library.function
    assert compiled_by_xla(graph) == 0


def test_activations_in_saved_models_are_read_again(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Activation(layers.gelu, name="gelu")(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again.get_layer("gelu"), layers.Activation)
    assert again.get_layer("gelu").activation is layers.gelu
