"""The builders: arguments, saving, precision, strategies, other layers around."""

import inspect
import math
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_convnext
from keras_convnext.layers import StochasticDepth
from keras_convnext.models import build, layers_by_name
from tests.checks import (
    check_model,
    raise_gains,
    random_images,
    run_python,
    tiny_variant,
)

MINI = tiny_variant(name="mini")
MINI_V2 = replace(MINI, name="mini_v2", grn=True, layer_scale_init_value=None)
# Each kind of layer there is, for what takes seconds a layer: tracing and compiling.
TWO_STAGES = {"depths": (1, 1), "widths": (8, 16)}


def mini(variant=MINI, **arguments):
    arguments = {"input_shape": (64, 64, 3), "classes": 10, "seed": 0} | arguments
    return raise_gains(build(variant, **arguments))


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


def test_too_small_an_image_is_refused_with_the_smallest_size():
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


def test_images_of_any_size_and_of_changing_size():
    model = mini(include_top=False, pooling="avg", input_shape=(None, None, 3))
    assert model(random_images(1, 64, 96)).shape == (1, 32)
    assert model(random_images(1, 33, 47)).shape == (1, 32)


def test_normalization_is_inside_and_can_be_left_out():
    inside = mini()
    outside = mini(include_preprocessing=False)
    outside.set_weights([w for w in inside.get_weights() if w.shape != ()])
    x = random_images(2, 64)
    mean = np.array([0.485, 0.456, 0.406], "float32")
    std = np.array([0.229, 0.224, 0.225], "float32")
    expected = outside((x / 255 - mean) / std)
    # The same affine map, rounded differently in float32.
    np.testing.assert_allclose(inside(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("variant", "remat"),
    [
        pytest.param(MINI, False, id="v1"),
        pytest.param(MINI_V2, True, id="v2, remat"),
        pytest.param(MINI, True, id="v1, remat", marks=pytest.mark.slow),
        pytest.param(MINI_V2, False, id="v2", marks=pytest.mark.slow),
    ],
)
def test_what_holds_for_every_model(variant, remat, tmp_path):
    model = mini(variant, stochastic_depth_rate=0.2, remat=remat)
    check_model(model, random_images(2, 64), tmp_path)


def test_weights_file_does_not_depend_on_the_stochastic_depth_rate(tmp_path):
    model = mini(stochastic_depth_rate=0.5)
    model.save_weights(tmp_path / "model.weights.h5")
    other = mini(stochastic_depth_rate=0.0, seed=3)
    other.load_weights(tmp_path / "model.weights.h5")
    x = random_images(2, 64)
    np.testing.assert_array_equal(other(x), model(x))


# What Keras imports by itself, TensorFlow, h5py and more, is not meant.
HEAVY = {
    *("torch", "tensorflow_datasets", "PIL", "matplotlib", "requests", "yaml"),
    *("huggingface_hub", "httpx", "httpx2", "onnx", "ai_edge_litert"),
    *("training", "export", "benchmarks"),
}


def test_keras_file_loads_in_a_fresh_process_and_the_import_adds_nothing_heavy(
    tmp_path,
):
    model = mini()
    x = random_images(2, 64)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    printed = run_python(
        f"""
        import json, keras, numpy as np, sys
        before = set(sys.modules)
        import keras_convnext
        added = {{name.partition(".")[0] for name in set(sys.modules) - before}}
        model = keras.saving.load_model(r"{tmp_path}/model.keras")
        outputs = np.asarray(model(np.load(r"{tmp_path}/x.npy")))
        print(json.dumps([sorted(added), outputs.tolist()]))
        """
    )
    added, outputs = printed
    np.testing.assert_array_equal(np.array(outputs, "float32"), model(x))
    assert "keras_convnext" in added
    assert not set(added) & HEAVY


def test_saved_model_round_trip_is_exact(tmp_path):
    import tensorflow as tf

    model = mini()
    x = random_images(2, 64)
    model.export(str(tmp_path / "saved"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    # Graph against graph: eager mode runs unfused kernels, which round differently.
    np.testing.assert_array_equal(served.serve(x), tf.function(model)(x))


def test_time_distributed_and_nested_models_give_the_inner_models_outputs():
    inner = mini(include_top=False, pooling="avg")
    frames = keras.Input((3, 64, 64, 3))
    over_time = keras.Model(frames, keras.layers.TimeDistributed(inner)(frames))
    x = np.stack([random_images(2, 64, seed=i) for i in range(3)], axis=1)
    expected = np.stack([inner(x[:, i]) for i in range(3)], axis=1)
    np.testing.assert_allclose(over_time(x), expected, atol=1e-6)
    outer = keras.Sequential([keras.Input((64, 64, 3)), inner, keras.layers.Dense(2)])
    copy = keras.models.clone_model(outer)
    copy.set_weights(outer.get_weights())
    np.testing.assert_allclose(copy(x[:, 0]), outer(x[:, 0]), atol=1e-6)


def test_input_tensor_may_be_another_layers_output():
    gray = keras.Input((64, 64, 1))
    rgb = keras.layers.Concatenate()([gray, gray, gray])
    model = mini(input_tensor=rgb, input_shape=None)
    plain = mini()
    model.set_weights(plain.get_weights())
    x = random_images(2, 64, channels=1)
    np.testing.assert_array_equal(model(x), plain(np.repeat(x, 3, axis=-1)))
    with pytest.raises(ValueError, match="input_tensor is the output"):
        build(MINI, input_tensor=x)


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
