"""The builders: arguments, saving, precision, strategies, other layers around."""

import inspect
import json
import math
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_convnext
from keras_convnext.layers import StochasticDepth
from keras_convnext.models import build, layers_by_name
from keras_convnext.variants import VARIANTS

RANDOM = np.random.default_rng(0)
MINI = replace(
    VARIANTS["convnext_atto"], name="mini", depths=(1, 1, 2, 1), widths=(8, 16, 24, 32)
)
MINI_V2 = replace(MINI, name="mini_v2", grn=True, layer_scale_init_value=None)
# Each kind of layer there is, for what takes seconds a layer: tracing and compiling.
TWO_STAGES = {"depths": (1, 1), "widths": (8, 16)}


def raise_gains(model, seed=1):
    """At their initial values layer scale and GRN hide the blocks from a test."""
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        if variable.name in ("gamma", "beta", "bias"):
            variable.assign(random.uniform(0.1, 1.0, variable.shape))
    return model


def mini(variant=MINI, **arguments):
    arguments = {"input_shape": (64, 64, 3), "classes": 10, "seed": 0} | arguments
    return raise_gains(build(variant, **arguments))


def pictures(batch=2, height=64, width=64, channels=3):
    return RANDOM.uniform(0, 255, (batch, height, width, channels)).astype("float32")


def run_python(code, **environment):
    """Runs code in a fresh process and returns what it printed last as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_builders_take_what_keras_applications_take_in_the_same_order():
    for size in ("Tiny", "Small", "Base", "Large", "XLarge"):
        theirs = inspect.signature(getattr(keras.applications, f"ConvNeXt{size}"))
        ours = inspect.signature(getattr(keras_convnext, f"ConvNeXt{size}"))
        positional = [
            p
            for p in ours.parameters.values()
            if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        ]
        assert [(p.name, p.default) for p in positional] == [
            (p.name, p.default) for p in theirs.parameters.values()
        ]


def test_all_wrong_arguments_are_named_at_once():
    with pytest.raises(ValueError, match="No model") as caught:
        build(MINI, pooling="mean", classes=0, stochastic_depth_rate=1.2)
    for word in ("pooling", "classes", "stochastic_depth_rate"):
        assert word in str(caught.value)


def test_too_small_a_picture_is_refused_with_the_smallest_size():
    with pytest.raises(ValueError, match="at least 32"):
        build(MINI, input_shape=(31, 64, 3))
    assert build(MINI, input_shape=(8, 8, 3), patch_size=1).output_shape == (None, 1000)


def test_patch_size_is_refused_for_an_overlapping_stem():
    with pytest.raises(ValueError, match="one patch convolution"):
        keras_convnext.create("convnext_atto_ols", patch_size=2)


def test_an_unknown_argument_is_an_error_of_the_builder_that_was_called():
    with pytest.raises(TypeError, match=r"ConvNeXtTiny\(\).*'weight'"):
        keras_convnext.ConvNeXtTiny(weight=None)


def test_variable_paths_of_v1_and_v2_are_frozen():
    one_block = replace(MINI, depths=(1, 1), widths=(8, 16))
    norm = ["gamma", "beta"]
    conv = ["kernel", "bias"]

    def block(name, extra):
        return [
            (f"{name}_dwconv", conv),
            (f"{name}_norm", norm),
            (f"{name}_expand", conv),
            *extra,
            (f"{name}_project", conv),
        ]

    def model(middle, end):
        rows = [("stem_conv", conv), ("stem_norm", norm)]
        for stage in (0, 1):
            name = f"stage{stage}_block0"
            if stage:
                rows += [
                    ("stage1_downsample_norm", norm),
                    ("stage1_downsample_conv", conv),
                ]
            extra = [(f"{name}_grn", norm)] if middle else []
            rows += block(name, extra)
            rows += [(f"{name}_layer_scale", ["gamma"])] if end else []
        rows += [("head_norm", norm), ("head_dense", conv)]
        return [f"{layer}/{variable}" for layer, names in rows for variable in names]

    def paths(variant):
        built = build(variant, input_shape=(64, 64, 3))
        return [v.path for v in built.trainable_variables]

    assert paths(one_block) == model(middle=False, end=True)
    v2 = replace(one_block, grn=True, layer_scale_init_value=None)
    assert paths(v2) == model(middle=True, end=False)


def test_stochastic_depth_rises_linearly_from_zero_over_all_blocks():
    model = build(MINI, stochastic_depth_rate=0.4)
    rates = [layer.rate for layer in model.layers if isinstance(layer, StochasticDepth)]
    np.testing.assert_allclose(rates, [0.0, 0.1, 0.2, 0.3, 0.4])


def test_kernels_start_as_a_normal_of_deviation_two_hundredths():
    model = keras_convnext.create("convnext_atto", head_init_scale=0.1, seed=0)
    named = layers_by_name(model)
    kernel = np.asarray(named["stage3_block0_expand"].kernel) / 0.02
    # Of 409,600 draws; every bound is at least four standard errors of its estimate.
    assert abs(kernel.mean()) < 0.0065
    assert abs(kernel.std() - 1) < 0.005
    for deviations in (0.5, 1.0, 2.0, 3.0):
        inside = math.erf(deviations / math.sqrt(2))
        assert abs((np.abs(kernel) < deviations).mean() - inside) < 0.0033
    # Cut off at two deviations, as Keras' TruncatedNormal would, it is not.
    assert 4 < np.abs(kernel).max() < 7
    head = np.asarray(named["head_dense"].kernel)
    assert abs(head.std() / 0.002 - 1) < 0.005
    assert not np.asarray(named["head_dense"].bias).any()


def test_a_seed_repeats_the_initial_weights_and_no_two_kernels_are_equal():
    one, two = build(MINI, seed=5), build(MINI, seed=5)
    for a, b in zip(one.trainable_variables, two.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)
    named = layers_by_name(one)
    first = np.asarray(named["stage2_block0_expand"].kernel)
    assert (first != np.asarray(named["stage2_block1_expand"].kernel)).any()


def test_pictures_of_any_size_and_of_changing_size():
    model = mini(include_top=False, pooling="avg", input_shape=(None, None, 3))
    assert model(pictures(1, 64, 96)).shape == (1, 32)
    assert model(pictures(1, 33, 47)).shape == (1, 32)


def test_normalisation_is_inside_and_can_be_left_out():
    inside = mini()
    outside = mini(include_preprocessing=False)
    outside.set_weights([w for w in inside.get_weights() if w.shape != ()])
    x = pictures()
    mean = np.array([0.485, 0.456, 0.406], "float32")
    std = np.array([0.229, 0.224, 0.225], "float32")
    expected = outside((x / 255 - mean) / std)
    # The same affine map, rounded differently in float32.
    np.testing.assert_allclose(inside(x), expected, atol=1e-6)


@pytest.mark.parametrize("variant", [MINI, MINI_V2], ids=["v1", "v2"])
@pytest.mark.parametrize("remat", [False, True])
def test_keras_file_and_weights_file_round_trips_are_exact(variant, remat, tmp_path):
    model = mini(variant, stochastic_depth_rate=0.2, remat=remat)
    x = pictures()
    expected = np.asarray(model(x))
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(reloaded(x), expected)
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = mini(variant, stochastic_depth_rate=0.2, remat=remat, seed=9)
    fresh.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(fresh(x), expected)


def test_weights_file_does_not_depend_on_the_stochastic_depth_rate(tmp_path):
    model = mini(stochastic_depth_rate=0.5)
    model.save_weights(tmp_path / "model.weights.h5")
    other = mini(stochastic_depth_rate=0.0, seed=3)
    other.load_weights(tmp_path / "model.weights.h5")
    x = pictures()
    np.testing.assert_array_equal(other(x), model(x))


def test_keras_file_loads_in_a_fresh_process_that_imports_the_package(tmp_path):
    model = mini()
    x = pictures()
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    printed = run_python(
        f"""
        import json, keras, numpy as np, keras_convnext
        model = keras.saving.load_model(r"{tmp_path}/model.keras")
        print(json.dumps(np.asarray(model(np.load(r"{tmp_path}/x.npy"))).tolist()))
        """
    )
    np.testing.assert_array_equal(np.array(printed, "float32"), model(x))


def test_saved_model_round_trip_is_exact(tmp_path):
    import tensorflow as tf

    model = mini()
    x = pictures()
    model.export(str(tmp_path / "saved"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    # Graph against graph: eager mode runs unfused kernels, which round differently.
    np.testing.assert_array_equal(served.serve(x), tf.function(model)(x))


def test_time_distributed_and_nested_models_give_the_inner_models_outputs():
    inner = mini(include_top=False, pooling="avg")
    frames = keras.Input((3, 64, 64, 3))
    over_time = keras.Model(frames, keras.layers.TimeDistributed(inner)(frames))
    x = np.stack([pictures(2) for _ in range(3)], axis=1)
    expected = np.stack([inner(x[:, i]) for i in range(3)], axis=1)
    np.testing.assert_allclose(over_time(x), expected, atol=1e-6)
    outer = keras.Sequential([keras.Input((64, 64, 3)), inner, keras.layers.Dense(2)])
    copy = keras.models.clone_model(outer)
    copy.set_weights(outer.get_weights())
    np.testing.assert_allclose(copy(x[:, 0]), outer(x[:, 0]), atol=1e-6)


def test_input_tensor_may_be_another_layers_output():
    grey = keras.Input((64, 64, 1))
    rgb = keras.layers.Concatenate()([grey, grey, grey])
    model = mini(input_tensor=rgb, input_shape=None)
    plain = mini()
    model.set_weights(plain.get_weights())
    x = pictures(channels=1)
    np.testing.assert_array_equal(model(x), plain(np.repeat(x, 3, axis=-1)))
    with pytest.raises(ValueError, match="input_tensor is the output"):
        build(MINI, input_tensor=x)


@pytest.mark.parametrize("variant", [MINI, MINI_V2], ids=["v1", "v2"])
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_trains_with_stochastic_depth(variant, policy):
    variant = replace(variant, **TWO_STAGES)
    model = mini(variant, dtype=policy, stochastic_depth_rate=0.5)
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    optimizer = keras.optimizers.AdamW(1e-3)
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    optimizer.build(model.trainable_variables)  # or Keras traces the step twice
    before = model.get_weights()
    x, y = pictures(8), RANDOM.integers(0, 10, 8)
    history = model.fit(x, y, epochs=2, batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    trainable = {id(v) for v in model.trainable_variables}
    assert all(
        (old != new).any()
        for old, new, v in zip(before, model.get_weights(), model.weights, strict=True)
        if id(v) in trainable
    )


def test_half_precision_is_close_to_full_precision():
    full = mini()
    half = mini(dtype="mixed_bfloat16")
    half.set_weights(full.get_weights())
    x = pictures()
    # Probabilities near 0.1 with eight bits of mantissa through five blocks.
    np.testing.assert_allclose(half(x), full(x), atol=0.02)


def test_jit_compile_works_for_training():
    variant = replace(MINI_V2, **TWO_STAGES)
    model = mini(variant, stochastic_depth_rate=0.3, input_shape=(32, 32, 3))
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
    loss = model.train_on_batch(pictures(2, 32, 32), np.array([1, 2]))
    assert np.isfinite(loss)


@pytest.mark.parametrize("variant", [MINI, MINI_V2], ids=["v1", "v2"])
def test_rematerialised_model_has_the_outputs_and_gradients_of_the_plain_one(variant):
    import tensorflow as tf

    plain = mini(variant)
    remat = mini(variant, remat=True)
    by_name = {
        (layer.name, v.name): v
        for layer in layers_by_name(plain).values()
        for v in layer.weights
    }
    for name, layer in layers_by_name(remat).items():
        for variable in [] if hasattr(layer, "layers") else layer.weights:
            variable.assign(by_name[name, variable.name])
    x = tf.constant(pictures())

    def gradients(model):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x, training=True) ** 2)
        variables = model.trainable_variables
        found = tape.gradient(loss, [v.value for v in variables])
        names = [tuple(v.path.split("/")[-2:]) for v in variables]
        return dict(zip(names, found, strict=True))

    np.testing.assert_allclose(remat(x), plain(x), rtol=1e-6)
    expected = gradients(plain)
    for name, gradient in gradients(remat).items():
        # The same operations in the same order, fused differently.
        np.testing.assert_allclose(
            gradient, expected[name], rtol=1e-3, atol=1e-5, err_msg=str(name)
        )


def test_fit_works_under_a_mirrored_strategy_and_replicas_drop_different_rows():
    printed = run_python(
        """
        import json, numpy as np, tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
        import keras
        from dataclasses import replace
        from keras_convnext.layers import StochasticDepth
        from keras_convnext.models import build
        from keras_convnext.variants import VARIANTS
        mini = replace(
            VARIANTS["convnext_atto"], depths=(1, 1), widths=(8, 16)
        )
        strategy = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
        with strategy.scope():
            model = build(mini, classes=3, input_shape=(32, 32, 3),
                          stochastic_depth_rate=0.5)
            model.compile("adamw", "sparse_categorical_crossentropy",
                          jit_compile=False)
            model.optimizer.build(model.trainable_variables)
            layer = StochasticDepth(0.5, seed=1)
        x = np.random.uniform(0, 255, (8, 32, 32, 3)).astype("float32")
        history = model.fit(x, np.arange(8) % 3, batch_size=8, epochs=2, verbose=0)
        run = tf.function(
            lambda: strategy.run(lambda: layer(tf.ones((64, 1)), training=True))
        )
        rows = [np.asarray(v).ravel().tolist()
                for v in strategy.experimental_local_results(run())]
        print(json.dumps({"loss": history.history["loss"], "rows": rows}))
        """
    )
    assert np.isfinite(printed["loss"]).all()
    first, second = printed["rows"]
    assert set(first) == set(second) == {0.0, 2.0}
    # Equal with probability 2**-64 if they are independent.
    assert first != second


def test_dilation_keeps_the_resolution_and_the_parameters():
    plain = mini(include_top=False)
    for stride in (8, 16):
        dilated = mini(include_top=False, output_stride=stride)
        assert dilated.output_shape == (None, 64 // stride, 64 // stride, 32)
        assert [v.shape for v in dilated.weights] == [v.shape for v in plain.weights]


def test_model_without_a_top_ends_as_the_one_in_keras_applications_does():
    bare = mini(include_top=False)
    assert bare.layers[-1].name == "head_norm"
    assert bare.output_shape == (None, 2, 2, 32)
    assert mini(include_top=False, pooling="max").output_shape == (None, 32)
