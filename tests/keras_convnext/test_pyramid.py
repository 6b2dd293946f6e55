"""Feature pyramids: their levels, weights and files, and KerasHub's models on them."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_convnext import pyramid
from keras_convnext.models import build
from tests.checks import raise_gains, random_images, tiny_variant

MINI = tiny_variant(name="mini")
MINI_V2 = replace(MINI, grn=True, layer_scale_init_value=None)
MINI_ISOTROPIC = tiny_variant("convnext_isotropic_large", depths=(3,))


def images(height=64, width=96):
    return random_images(2, height, width)


def mini(variant=MINI, **arguments):
    """Returns a model without a top whose blocks count."""
    return raise_gains(build(variant, include_top=False, seed=0, **arguments))


@pytest.mark.parametrize(
    ("variant", "output_stride", "strides"),
    [
        (MINI, 32, {"P2": 4, "P3": 8, "P4": 16, "P5": 32}),
        (MINI_V2, 16, {"P2": 4, "P3": 8, "P4": 16, "P5": 16}),
        (MINI, 8, {"P2": 4, "P3": 8, "P4": 8, "P5": 8}),
        (MINI_ISOTROPIC, 32, {"P4": 16}),
    ],
    ids=["plain", "stride16", "stride8", "isotropic"],
)
def test_each_level_has_its_stride_and_its_stages_width(
    variant, output_stride, strides
):
    maps = pyramid(mini(variant, output_stride=output_stride))(images())
    assert {level: tuple(x.shape) for level, x in maps.items()} == {
        level: (2, 64 // stride, 96 // stride, width)
        for (level, stride), width in zip(strides.items(), variant.widths, strict=True)
    }


@pytest.mark.parametrize(("output_stride", "last"), [(8, "P3"), (16, "P4"), (32, "P5")])
def test_levels_by_stride_are_halvings_and_the_last_one_is_the_last_stage(
    output_stride, last
):
    model = mini(output_stride=output_stride)
    by_stride = pyramid(model, by_stride=True)
    for level, x in by_stride(images()).items():
        assert x.shape[1:3] == (64 // 2 ** int(level[1]), 96 // 2 ** int(level[1]))
    levels = by_stride.pyramid_outputs
    assert list(levels)[-1] == last
    assert levels[last] is model.get_layer("stage3_block0_add").output


def test_levels_are_the_models_own_tensors_with_a_top_or_without():
    for include_top in (True, False):
        model = build(MINI, include_top=include_top, input_shape=(64, 64, 3))
        levels = pyramid(model).pyramid_outputs
        # The third stage has two blocks: its level is the end of the second.
        assert levels["P4"] is model.get_layer("stage2_block1_add").output
        assert levels["P5"] is model.get_layer("stage3_block0_add").output


def test_pyramid_shares_its_weights_with_the_model():
    model = mini()
    shared = pyramid(model)
    x = images()
    before = shared(x)["P2"].numpy()
    model.get_layer("stem_norm").beta.assign_add(np.ones(8))
    assert np.abs(shared(x)["P2"].numpy() - before).max() > 0.5
    assert len(shared.trainable_variables) == len(model.trainable_variables) - 2


def test_norms_give_every_position_mean_zero_and_deviation_one():
    plain, normed = pyramid(model := mini()), pyramid(model, norms=True)
    assert [layer.name for layer in normed.layers if "pyramid" in layer.name] == [
        "pyramid_norm_p2",
        "pyramid_norm_p3",
        "pyramid_norm_p4",
        "pyramid_norm_p5",
    ]
    x = images()
    raw = plain(x)
    for level, values in normed(x).items():
        expected = raw[level].numpy().astype("float64")
        expected -= expected.mean(-1, keepdims=True)
        expected /= np.sqrt((expected**2).mean(-1, keepdims=True) + 1e-6)
        # Some float32 operations on numbers of size one.
        np.testing.assert_allclose(values, expected, atol=1e-5)
    names = {v.path for v in normed.trainable_variables}
    assert {"pyramid_norm_p5/gamma", "pyramid_norm_p5/beta"} <= names


@pytest.mark.parametrize("output_stride", [8, 32])
def test_pyramid_comes_back_from_its_file_and_its_config(output_stride, tmp_path):
    model = pyramid(mini(output_stride=output_stride), norms=True)
    x = images()
    expected = model(x)
    model.save(tmp_path / "pyramid.keras")
    reloaded = keras.saving.load_model(tmp_path / "pyramid.keras")
    copy = keras.layers.deserialize(keras.layers.serialize(model))
    copy.set_weights(model.get_weights())
    for again in (reloaded, copy):
        assert list(again.pyramid_outputs) == ["P2", "P3", "P4", "P5"]
        for level, values in again(x).items():
            np.testing.assert_array_equal(values, expected[level])


def test_dilated_model_trains_every_parameter():
    model = pyramid(mini(output_stride=8))
    with tf.GradientTape() as tape:
        maps = model(images(), training=True)
        loss = sum(tf.reduce_mean(x**2) for x in maps.values())
    variables = model.trainable_variables
    for gradient, variable in zip(
        tape.gradient(loss, [v.value for v in variables]), variables, strict=True
    ):
        assert np.isfinite(gradient.numpy()).all(), variable.path
        assert gradient.numpy().any(), variable.path


def test_of_a_model_around_a_convnext_the_error_names_the_one_inside():
    inner = mini()
    image = keras.Input((64, 96, 3))
    with pytest.raises(ValueError, match=rf"that is one is '{inner.name}': give it"):
        pyramid(keras.Model(image, inner(image)))


def test_other_models_are_refused_with_what_is_wanted():
    inputs = keras.Input((32, 32, 3))
    other = keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs), name="other")
    around = keras.Sequential([inputs, mini()], name="around")
    for model in (other, around):
        with pytest.raises(ValueError, match=f"built by keras_convnext.*{model.name}"):
            pyramid(model)


def hub():
    """Returns KerasHub, or skips."""
    return pytest.importorskip("keras_hub", reason="KerasHub is not installed")


def stages_moved_by_a_step(model, x, y):
    """Trains one step and returns the stages of which every variable changed."""
    variables = [v for v in model.trainable_variables if "stage" in v.path]
    before = [v.numpy().copy() for v in variables]
    losses = model.fit(x, y, batch_size=len(x), verbose=0).history["loss"]
    assert len(losses) == 1
    assert np.isfinite(losses[0])
    still = [
        v.path
        for v, old in zip(variables, before, strict=True)
        if (v.numpy() == old).all()
    ]
    assert still == []
    return {v.path.split("/")[-2].split("_")[0] for v in variables}


@pytest.mark.slow
def test_kerashubs_retinanet_trains_a_step_on_it_and_reloads(tmp_path):
    keras_hub = hub()
    backbone = keras_hub.models.RetinaNetBackbone(
        image_encoder=pyramid(mini(), norms=True),
        min_level=3,
        max_level=6,
        use_p5=False,
        image_shape=(64, 64, 3),
    )
    detector = keras_hub.models.RetinaNetObjectDetector(
        backbone,
        num_classes=3,
        bounding_box_format="xyxy",
        pre_logits_num_conv_layers=1,
    )
    x = images(64, 64)
    y = {
        "boxes": np.array([[[4.0, 4, 30, 30]], [[10, 20, 60, 60]]], "float32"),
        "labels": np.array([[0.0], [2.0]], "float32"),
    }
    detector.compile("adam", jit_compile=False)
    stages = stages_moved_by_a_step(detector, x, y)
    # P3 is the lowest level taken; the stages below it feed it.
    assert stages == {"stage0", "stage1", "stage2", "stage3"}

    expected = detector(x)
    detector.save(tmp_path / "detector.keras")
    reloaded = keras.saving.load_model(tmp_path / "detector.keras")
    for name, values in reloaded(x).items():
        np.testing.assert_array_equal(values, expected[name])
    copy = keras_hub.models.RetinaNetBackbone.from_config(backbone.get_config())
    copy.set_weights(backbone.get_weights())
    for level, values in copy(x).items():
        np.testing.assert_array_equal(values, backbone(x)[level])


@pytest.mark.slow
def test_kerashubs_deeplab_trains_a_step_on_a_dilated_one_and_reloads(tmp_path):
    keras_hub = hub()
    backbone = keras_hub.models.DeepLabV3Backbone(
        image_encoder=pyramid(mini(MINI_V2, output_stride=16), by_stride=True),
        spatial_pyramid_pooling_key="P4",
        low_level_feature_key="P2",
        upsampling_size=4,
        dilation_rates=[2, 4],
        image_shape=(64, 64, 3),
    )
    segmenter = keras_hub.models.DeepLabV3ImageSegmenter(
        backbone, num_classes=3, activation="softmax"
    )
    x = images(64, 64)
    y = np.eye(3, dtype="float32")[np.arange(2 * 64 * 64).reshape(2, 64, 64) % 3]
    segmenter.compile("adam", jit_compile=False)
    stages = stages_moved_by_a_step(segmenter, x, y)
    assert stages == {"stage0", "stage1", "stage2", "stage3"}

    expected = segmenter(x)
    assert expected.shape == (2, 64, 64, 3)
    segmenter.save(tmp_path / "segmenter.keras")
    reloaded = keras.saving.load_model(tmp_path / "segmenter.keras")
    np.testing.assert_array_equal(reloaded(x), expected)
    copy = keras_hub.models.DeepLabV3Backbone.from_config(backbone.get_config())
    copy.set_weights(backbone.get_weights())
    np.testing.assert_array_equal(copy(x), backbone(x))
