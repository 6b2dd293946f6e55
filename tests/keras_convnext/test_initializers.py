"""How kernels begin."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import threading

import keras
import numpy as np
import pytest
from scipy import stats

import keras_convnext
from keras_convnext import initializers
from keras_convnext.initializers import Constant, FastRandomNormal, draw_normal

# More pieces than one thread takes, and a part of one.
COUNT = 5 * (1 << 17) + 5


def test_the_numbers_are_normally_distributed():
    values = draw_normal(1_000_000, seed=1, mean=0.5, stddev=0.02)
    # A million true draws stay below 0.00195 in 999 of 1,000 cases.
    assert stats.kstest(values, "norm", (0.5, 0.02)).statistic < 0.00195
    assert abs(values.mean() - 0.5) < 5 * 0.02 / 1000
    assert abs(values.std() / 0.02 - 1) < 5 / np.sqrt(2e6)
    assert abs(stats.kurtosis(values)) < 5 * np.sqrt(24 / 1e6)


def test_neighbors_have_nothing_to_do_with_each_other():
    values = draw_normal(COUNT, seed=2)
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
        initializers._threads.cache_clear()
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        values = draw_normal(count, seed=3)
        assert values.shape == (count,)
        # A piece is the same numbers wherever it stands.
        begin = count - count % (1 << 17)
        alone = draw_normal(begin, seed=3) if begin else values[:0]
        np.testing.assert_array_equal(values[:begin], alone)
        results.append(values)
    initializers._threads.cache_clear()
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("rows", [0, 1, 5 * (1 << 10) + 5])
def test_what_is_drawn_ahead_is_what_would_be_drawn(rows):
    shape = (rows, 1 << 7)
    initializer = FastRandomNormal(stddev=0.02, seed=9)
    initializer.begin(shape)
    ahead, again = (np.array(initializer(shape)) for _ in range(2))
    wanted = draw_normal(rows << 7, seed=9, stddev=0.02).reshape(shape)
    np.testing.assert_array_equal(ahead, wanted)
    np.testing.assert_array_equal(again, wanted)
    # A kernel of another shape is another kernel.
    initializer.begin(shape)
    np.testing.assert_array_equal(
        np.array(initializer((3, 5))).ravel(), draw_normal(15, seed=9, stddev=0.02)
    )


def test_what_is_drawn_ahead_is_for_one_variable_alone():
    shape = (1 << 10, 1 << 8)
    initializer = FastRandomNormal(seed=10)
    initializer.begin(shape)
    first, second = (keras.Variable(initializer, shape=shape) for _ in range(2))
    first.assign_add(keras.ops.ones(shape))
    np.testing.assert_array_equal(np.array(second), np.array(initializer(shape)))


def test_whoever_waits_draws_what_no_thread_has_begun():
    threads, count = initializers._threads()
    free = threading.Event()
    busy = [threads.submit(free.wait, 60) for _ in range(count)]
    try:
        initializer = FastRandomNormal(stddev=1.0, seed=11)
        initializer.begin((COUNT,))
        values = np.array(initializer((COUNT,)))
        assert not any(each.done() for each in busy)
    finally:
        free.set()
    np.testing.assert_array_equal(values, draw_normal(COUNT, seed=11))


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
def test_kernels_of_blocks_are_drawn_ahead(name, arguments, monkeypatch):
    begun = []

    def begin(initializer, shape):
        begun.append(initializer)
        original(initializer, shape)

    original = FastRandomNormal.begin
    monkeypatch.setattr(FastRandomNormal, "begin", begin)
    model = keras_convnext.create(name, weights=None, **arguments)
    kernels = [v for v in model.weights if v.path.endswith("kernel")]
    between = [v for v in kernels if v.path.startswith("stage")]
    assert len(between) > 18
    assert len(begun) == len(between)
    # What was drawn for a shape that no layer asked for would still be there.
    assert not any(each._begun for each in begun)


def test_with_weights_to_load_no_kernel_is_drawn_ahead(tmp_path, monkeypatch):
    path = str(tmp_path / "test.weights.h5")
    keras_convnext.create("test_convnext", weights=None).save_weights(path)
    monkeypatch.setattr(FastRandomNormal, "begin", pytest.fail)
    keras_convnext.create("test_convnext", weights=path)


def test_layers_take_seeds_in_the_order_of_the_network():
    model = keras_convnext.create("test_convnext", weights=None, seed=20)
    seeds = itertools.count(20)
    for layer in model.layers:
        if layer.name.endswith("_stochastic_depth"):
            assert layer.seed == next(seeds), layer.name
        elif hasattr(layer, "kernel"):
            kernel = np.array(layer.kernel)
            wanted = draw_normal(kernel.size, next(seeds), stddev=0.02)
            np.testing.assert_array_equal(kernel.ravel(), wanted, layer.name)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_was_forked_off_draws_too():
    expected = draw_normal(COUNT, seed=4)  # the threads are there
    program = multiprocessing.get_context("fork")
    receiver, sender = program.Pipe(duplex=False)
    process = program.Process(target=lambda: sender.send(draw_normal(COUNT, seed=4)))
    process.start()
    assert receiver.poll(60), "the child waits for threads that it does not have"
    np.testing.assert_array_equal(receiver.recv(), expected)
    process.join()


def test_seeds_decide():
    def values(seed):
        return np.array(FastRandomNormal(seed=seed)((4, 5)))

    np.testing.assert_array_equal(values(5), values(5))
    seeds = (5, 6, 0, -1, 2**40, None)
    assert len({values(seed).tobytes() for seed in seeds}) == len(seeds)
    keras.utils.set_random_seed(9)
    first = values(None)
    keras.utils.set_random_seed(9)
    np.testing.assert_array_equal(values(None), first)


def test_a_seed_generator_is_left_to_keras():
    seeds = keras.random.SeedGenerator(4)
    initializer = FastRandomNormal(seed=seeds)
    first, second = np.array(initializer((9,))), np.array(initializer((9,)))
    assert (first != second).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_any_float_is_made(dtype):
    values = FastRandomNormal(stddev=0.02, seed=6)((8, 16), dtype=dtype)
    assert keras.backend.standardize_dtype(values.dtype) == dtype
    exact = draw_normal(128, 6, stddev=0.02).reshape(8, 16)
    # bfloat16 has 8 binary digits: rounding is off by up to 1/256.
    np.testing.assert_allclose(
        np.array(keras.ops.cast(values, "float32")), exact, rtol=4e-3
    )


def test_a_variable_is_changed_alone():
    initializer = FastRandomNormal(seed=7)
    first, second = (keras.Variable(initializer, shape=(300, 9)) for _ in range(2))
    first.assign_add(keras.ops.ones((300, 9)))
    np.testing.assert_array_equal(np.array(second), np.array(initializer((300, 9))))


def test_it_is_saved_with_a_model():
    config = keras.initializers.serialize(FastRandomNormal(stddev=0.3, seed=8))
    again = keras.initializers.deserialize(config)
    assert isinstance(again, FastRandomNormal)
    assert (again.mean, again.stddev, again.seed) == (0.0, 0.3, 8)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-6, -3])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", None])
def test_a_constant_is_that_of_keras(value, dtype):
    for shape in ((), (0,), (7,), (3, 1, 5)):
        ours = Constant(value)(shape, dtype)
        theirs = keras.initializers.Constant(value)(shape, dtype)
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape == shape
        ours, theirs = (keras.ops.cast(each, "float64") for each in (ours, theirs))
        np.testing.assert_array_equal(np.array(ours), np.array(theirs))


def test_a_constant_is_changed_in_one_variable_alone():
    initializer = Constant(2.0)
    first, second = (keras.Variable(initializer, shape=(9,)) for _ in range(2))
    first.assign_add(keras.ops.ones((9,)))
    np.testing.assert_array_equal(np.array(first), np.full(9, 3.0))
    np.testing.assert_array_equal(np.array(second), np.full(9, 2.0))


def test_a_constant_is_saved_with_a_model():
    config = keras.initializers.serialize(Constant(0.25))
    again = keras.initializers.deserialize(config)
    assert type(again) is Constant
    assert again.value == 0.25


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


@pytest.mark.parametrize("collects", [True, False])
@pytest.mark.parametrize("classes", [10, -1])
def test_garbage_is_collected_afterwards_as_it_was_before(collects, classes):
    was = gc.isenabled()
    try:
        (gc.enable if collects else gc.disable)()
        if classes < 0:
            with pytest.raises(ValueError, match="classes"):
                keras_convnext.create("test_convnext", classes=classes)
        else:
            keras_convnext.create("test_convnext", classes=classes)
        assert gc.isenabled() is collects
    finally:
        (gc.enable if was else gc.disable)()
