"""How kernels begin."""

from __future__ import annotations

import itertools
from functools import partial

import keras
import numpy as np
import pytest
from scipy import stats

import keras_convnext
from keras_convnext import filling, initializers
from keras_convnext.filling import fill_variables
from keras_convnext.initializers import EmptyKernel, draws

# More pieces than one thread takes, and a part of one.
COUNT = 5 * (1 << 17) + 5


def drawn(count, seed, mean=0.0, stddev=1.0):
    variable = keras.Variable(EmptyKernel(), shape=(count,), dtype="float32")
    fill_variables([variable], [partial(draws, seed, mean, stddev)])
    return np.array(variable)


def test_the_numbers_are_normally_distributed():
    values = drawn(1_000_000, seed=1, mean=0.5, stddev=0.02)
    # A million true draws stay below 0.00195 in 999 of 1,000 cases.
    assert stats.kstest(values, "norm", (0.5, 0.02)).statistic < 0.00195
    assert abs(values.mean() - 0.5) < 5 * 0.02 / 1000
    assert abs(values.std() / 0.02 - 1) < 5 / np.sqrt(2e6)
    assert abs(stats.kurtosis(values)) < 5 * np.sqrt(24 / 1e6)


def test_neighbours_have_nothing_to_do_with_each_other():
    values = drawn(COUNT, seed=2)
    for distance in (1, 2, 4, 1 << 17):
        with_another = np.corrcoef(values[:-distance], values[distance:])[0, 1]
        assert abs(with_another) < 5 / np.sqrt(COUNT - distance), distance


def test_the_table_is_that_of_the_normal_distribution():
    wanted = stats.norm.ppf((np.arange(1 << 16) + 0.5) / (1 << 16))
    # Its deviation is a hundred-thousandth too small without the correction.
    np.testing.assert_allclose(initializers._quantiles(), wanted, rtol=2e-5)
    assert initializers._quantiles().std() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("count", [0, 1, 3, 1 << 17, COUNT])
def test_the_numbers_do_not_depend_on_the_cores(count, monkeypatch):
    results = []
    for cores in (1, 7):
        monkeypatch.setattr(filling, "_THREADS", cores)
        values = drawn(count, seed=3)
        # A piece is the same numbers wherever it stands.
        begin = count - count % (1 << 17)
        alone = drawn(begin, seed=3)
        np.testing.assert_array_equal(values[:begin], alone)
        results.append(values)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("convnext_atto", {}),
        ("convnext_atto", {"output_stride": 8, "remat": True}),
        ("convnext_atto", {"patch_size": 2, "input_shape": (32, 32, 5)}),
        ("convnextv2_atto", {"include_top": False}),
        ("convnext_isotropic_small", {}),
    ],
)
def test_no_kernel_stays_empty(name, arguments):
    model = keras_convnext.create(name, weights=None, **arguments)
    kernels = [v for v in model.weights if v.path.endswith("kernel")]
    assert len(kernels) > 18
    for kernel in kernels:
        # Six standard errors of a deviation.
        spread = 6 / np.sqrt(2 * np.prod(kernel.shape))
        found = np.array(kernel).std()
        assert found == pytest.approx(0.02, rel=spread), kernel.path


def test_no_kernel_of_an_adapted_backbone_of_the_same_names_is_touched():
    inner = keras_convnext.create("test_convnext", weights=None, include_top=False)
    x = keras.Input((64, 64, 3))
    narrowed = keras.layers.Conv2D(3, 1, padding="same")(
        keras.layers.UpSampling2D(32)(inner(x))
    )
    before = [np.array(each) for each in inner.weights]
    outer = keras_convnext.create("test_convnext", weights=None, input_tensor=narrowed)
    for kept, now in zip(before, inner.weights, strict=True):
        np.testing.assert_array_equal(kept, np.array(now), now.path)
    for layer in outer.layers:
        if hasattr(layer, "kernel"):
            assert np.array(layer.kernel).all(), layer.name


LATE = {"include_top": False, "include_preprocessing": False, "pooling": "avg"}


class LateBackbone(keras.layers.Layer):
    def build(self, shape):
        self.network = keras_convnext.create(
            "test_convnext", weights=None, seed=30, **LATE
        )

    def call(self, x):
        return self.network(x)


class LateModel(keras.Model):
    def __init__(self):
        super().__init__()
        self.backbone = LateBackbone()

    def call(self, x):
        return self.backbone(x)


def test_a_backbone_that_is_built_while_keras_looks_for_shapes_is_drawn():
    model = LateModel()
    model(np.zeros((1, 32, 32, 3), np.float32))
    network = keras_convnext.create("test_convnext", weights=None, seed=30, **LATE)
    found = {v.path: np.array(v) for v in model.weights}
    for wanted in network.weights:
        (value,) = (v for path, v in found.items() if path.endswith(wanted.path))
        np.testing.assert_array_equal(value, np.array(wanted), wanted.path)


def test_with_weights_to_load_only_what_they_lack_is_drawn(tmp_path, monkeypatch):
    path = str(tmp_path / "test.weights.h5")
    keras_convnext.create("test_convnext", weights=None).save_weights(path)
    asked = []

    def draws(seed, mean, stddev, numbers):
        asked.append(numbers.shape)
        return original(seed, mean, stddev, numbers)

    original = initializers.draws
    monkeypatch.setattr(initializers, "draws", draws)
    keras_convnext.create("test_convnext", weights=path)
    assert asked == []
    with pytest.warns(UserWarning, match="head_dense"):
        model = keras_convnext.create("test_convnext", weights=path, classes=3, seed=1)
    assert asked == [model.get_layer("head_dense").kernel.shape]
    assert np.array(model.get_layer("head_dense").kernel).all()


def test_layers_take_seeds_in_the_order_of_the_network():
    model = keras_convnext.create("test_convnext", weights=None, seed=20)
    seeds = itertools.count(20)
    for layer in model.layers:
        if layer.name.endswith("_stochastic_depth"):
            assert layer.seed == next(seeds), layer.name
        elif hasattr(layer, "kernel"):
            kernel = np.array(layer.kernel)
            wanted = drawn(kernel.size, next(seeds), stddev=0.02)
            np.testing.assert_array_equal(kernel.ravel(), wanted, layer.name)


def test_seeds_decide():
    seeds = (5, 6, 0, -1, 2**40)
    assert len({drawn(20, seed).tobytes() for seed in seeds}) == len(seeds)
    np.testing.assert_array_equal(drawn(20, 5), drawn(20, 5))


def test_without_a_seed_that_of_python_decides():
    def kernels():
        model = keras_convnext.create("test_convnext", weights=None)
        return [np.array(v) for v in model.weights if v.path.endswith("kernel")]

    keras.utils.set_random_seed(9)
    first = kernels()
    assert len({each.ravel()[:3].tobytes() for each in first}) == len(first)
    keras.utils.set_random_seed(9)
    for one, other in zip(first, kernels(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_any_float_is_drawn(dtype):
    variable = keras.Variable(np.zeros((8, 16)), dtype=dtype)
    fill_variables([variable], [partial(draws, 6, 0.0, 0.02)])
    # bfloat16 has 8 binary digits: rounding is off by up to 1/256.
    np.testing.assert_allclose(
        np.array(keras.ops.cast(variable, "float32")).ravel(),
        drawn(128, 6, stddev=0.02),
        rtol=4e-3,
    )


def test_a_variable_is_changed_alone():
    first, second = (keras.Variable(EmptyKernel(), shape=(300, 9)) for _ in range(2))
    fill_variables([first, second], [partial(draws, 7, 0.0, 1.0)] * 2)
    first.assign_add(keras.ops.ones((300, 9)))
    expected = drawn(2700, 7).reshape(300, 9)
    np.testing.assert_array_equal(np.array(first), expected + 1)
    np.testing.assert_array_equal(np.array(second), expected)


def test_a_model_keeps_initializers_of_keras_alone():
    model = keras_convnext.create(
        "convnext_atto", classes=3, input_shape=(32, 32, 3), seed=4
    )
    text = str(model.get_config())
    assert "keras_convnext.initializers" not in text
    assert "'class_name': 'RandomNormal'" in text
    kept = model.get_layer("stem_conv").kernel_initializer
    # They tell how the kernels were drawn.
    assert type(kept) is keras.initializers.RandomNormal
    assert (kept.mean, kept.stddev) == (0.0, 0.02)
    assert isinstance(kept.seed, int)


def test_kernels_begin_with_it():
    model = keras_convnext.create("convnext_atto", seed=0)
    kernel = np.array(model.get_layer("stage3_block1_expand").kernel)
    # Six standard errors of 409,600 numbers.
    assert kernel.std() == pytest.approx(0.02, rel=6 / np.sqrt(2 * kernel.size))
    assert abs(kernel.mean()) < 6 * 0.02 / np.sqrt(kernel.size)
