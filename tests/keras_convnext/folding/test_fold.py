"""Folded models against the models they come from.

In float64 the two may differ by rounding alone, so that a term that was lost or put in
the wrong place shows, however small its effect on the classes.
"""

from functools import partial

import keras
import numpy as np
import pytest

from keras_convnext._pyramid import pyramid
from keras_convnext.detection import CascadeMaskRCNN, MaskRCNN
from keras_convnext.folding import fold, folding_report
from keras_convnext.folding._fold import fold_with_reasons
from keras_convnext.layers import LayerNorm, LayerScale, PointwiseMLP, ScaleByInverseStd
from keras_convnext.models import build
from tests.checks import random_images, tiny_detector, tiny_variant

# One of every way in which variants differ: stem, norm, GRN, head, stages.
KINDS = (
    "convnext_atto",
    "convnext_atto_ols",
    "convnext_tiny_hnf",
    "convnext_large_mlp",
    "convnext_atto_rms",
    "convnext_zepto_rms",
    "convnext_zepto_rms_ols",
    "convnextv2_atto",
    "convnext_isotropic_small",
)
IMAGES = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3))
# A hundred roundings of 1e-16, on outputs of order one.
EXACT = 1e-12


def small(kind, **arguments):
    """A narrow, shallow model of a kind, every variable far from its neutral value."""
    variant = tiny_variant(kind)
    given = {"input_shape": (32, 32, 3), "classes": 5, "dtype": "float64"}
    model = build(variant, weights=None, **{**given, **arguments})
    generator = np.random.default_rng(0)
    for variable in model.weights:
        shape = variable.shape
        if variable.name == "kernel":
            variable.assign(generator.normal(0, 0.3, shape))
        elif variable.dtype != "uint32":
            variable.assign(generator.uniform(0.2, 1.0, shape))
    return model


def difference(one, other, images=IMAGES):
    outputs = [keras.ops.convert_to_numpy(model(images)) for model in (one, other)]
    return np.max(np.abs(outputs[0] - outputs[1]) / np.max(np.abs(outputs[0])))


def kinds_of(model):
    return {type(layer).__name__ for layer in model.layers}


@pytest.mark.parametrize("kind", KINDS)
def test_a_folded_model_is_equal(kind):
    model = small(kind, classifier_activation=None)
    folded = fold(model)
    assert difference(model, folded) < EXACT
    assert kinds_of(folded).isdisjoint({"LayerScale", "StochasticDepth", "Dropout"})


@pytest.mark.parametrize(
    "arguments",
    [
        {"include_top": False},
        {"include_top": False, "pooling": "max"},
        {"include_preprocessing": False},
        {"layer_scale_init_value": None},
        {"patch_size": 2},
        {"output_stride": 8},
        {"remat": True},
        {"stochastic_depth_rate": 0.5, "dropout_rate": 0.5},
        {"input_shape": (None, None, 3)},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["convnext_atto", "convnextv2_atto"])
@pytest.mark.slow
def test_a_folded_model_is_equal_however_it_was_built(kind, arguments):
    model = small(kind, **arguments)
    assert difference(model, fold(model)) < EXACT


def test_float32_rounding_stays_small():
    model = small("convnext_tiny", dtype="float32", include_top=False, pooling="avg")
    # The stem now works on 0..255 and not on -2..2: sixty times the magnitude of
    # float32's 6e-8, over some twenty layers.
    assert difference(model, fold(model)) < 2e-5


def test_only_the_norm_that_feeds_the_residual_too_is_left():
    model = small("convnext_atto")
    assert folding_report(model) == {
        "stem_norm": "its output goes to more than one layer"
    }
    left = [layer for layer in fold(model).layers if isinstance(layer, LayerNorm)]
    assert [layer.name for layer in left] == ["stem_norm"]
    assert "input_normalization" not in [layer.name for layer in fold(model).layers]


def test_what_is_left_has_its_reason():
    reasons = folding_report(
        small("convnext_atto_ols", include_top=False, output_stride=8)
    )
    assert reasons == {
        # The zeros around the image would be normalized too.
        "input_normalization": "stem_pad behind it cannot take it in",
        "stem_norm": "its output goes to more than one layer",
        "stage2_downsample_norm": "stage2_downsample_conv behind it cannot take it in",
        "stage3_downsample_norm": "stage3_downsample_conv behind it cannot take it in",
        "head_norm": "its output is an output of the model",
    }
    assert folding_report(small("convnext_isotropic_small")) == {}


def test_layers_keep_their_names_and_blocks_become_one_layer():
    names = [layer.name for layer in fold(small("convnext_atto")).layers][1:]
    block = ("dwconv", "mlp", "add")
    assert names == [
        "stem_conv",
        "stem_norm",
        *(f"stage0_block0_{part}" for part in block),
        "stage1_downsample_norm",
        "stage1_downsample_conv",
        *(f"stage1_block0_{part}" for part in block),
        "stage2_downsample_norm",
        "stage2_downsample_conv",
        *(f"stage2_block0_{part}" for part in block),
        *(f"stage2_block1_{part}" for part in block),
        "stage3_downsample_norm",
        "stage3_downsample_conv",
        *(f"stage3_block0_{part}" for part in block),
        "head_pool",
        "head_norm",
        "head_dense",
    ]


def test_the_model_itself_is_not_changed():
    model = small("convnextv2_atto")
    before = [value.copy() for value in model.get_weights()]
    config = str(model.get_config())
    outputs = keras.ops.convert_to_numpy(model(IMAGES))
    folded = fold(model)
    for variable in folded.weights:
        variable.assign(keras.ops.zeros_like(variable))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert str(model.get_config()) == config
    np.testing.assert_array_equal(model(IMAGES), outputs)


def test_a_folded_model_is_saved_and_loaded_exactly(tmp_path):
    folded = fold(small("convnextv2_atto"))
    folded.save(tmp_path / "folded.keras")
    loaded = keras.saving.load_model(tmp_path / "folded.keras")
    np.testing.assert_array_equal(loaded(IMAGES), folded(IMAGES))


def test_folding_twice_changes_nothing():
    folded = fold(small("convnext_atto"))
    assert difference(folded, fold(folded)) == 0


def test_a_backbone_inside_of_another_model_is_folded_too():
    backbone = small("convnext_atto", include_top=False, pooling="avg")
    image = keras.Input((32, 32, 3), dtype="float64")
    features = backbone(image, training=False)
    doubled = keras.layers.Concatenate(dtype="float64")([features, features * 2])
    model = keras.Model(image, keras.layers.Dense(3, dtype="float64")(doubled))
    folded = fold(model)
    assert difference(model, folded) < EXACT
    inner = next(layer for layer in folded.layers if isinstance(layer, keras.Model))
    assert any(isinstance(layer, PointwiseMLP) for layer in inner.layers)


def test_a_sequential_model_is_folded():
    backbone = small("convnext_atto", include_top=False, pooling="avg")
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3), dtype="float64"),
            backbone,
            keras.layers.Dropout(0.5, dtype="float64"),
            keras.layers.Dense(3, dtype="float64"),
        ]
    )
    assert difference(model, fold(model)) < EXACT


def deeply_nested(image, features):
    inner = keras.Sequential([features, keras.layers.LayerNormalization()])
    outer = keras.Sequential([inner, keras.layers.Dense(4)])
    return keras.Sequential([image, outer, keras.layers.Dense(2)])


def of_two_outputs(image, features):
    pooled = features(image)
    heads = {name: keras.layers.Dense(3, name=name)(pooled) for name in ("a", "b")}
    return keras.Model(image, heads)


@pytest.mark.parametrize("nest", [deeply_nested, of_two_outputs])
def test_models_inside_of_models_are_folded(nest):
    backbone = small("convnext_atto", include_top=False, pooling="avg")
    keras.config.set_dtype_policy("float64")
    try:
        model = nest(keras.Input((32, 32, 3)), backbone)
        folded = fold(model)
    finally:
        keras.config.set_dtype_policy("float32")
    assert folded.count_params() < model.count_params()
    for found, wanted in zip(
        keras.tree.flatten(folded(IMAGES)),
        keras.tree.flatten(model(IMAGES)),
        strict=True,
    ):
        assert np.max(np.abs(found - wanted)) < EXACT * np.max(np.abs(wanted))


def test_random_augmentation_in_front_goes():
    backbone = small("convnext_atto", include_top=False, pooling="avg")
    front = [keras.layers.RandomFlip(), keras.layers.RandomContrast(0.5)]
    image = keras.Input((32, 32, 3), dtype="float64")
    model = keras.Sequential(
        [image, keras.Sequential(front), keras.layers.RandomRotation(0.5), backbone]
    )
    # Called without `training=False`, Keras' own layers would change the images.
    wanted = keras.ops.convert_to_numpy(model(IMAGES, training=False))
    found = keras.ops.convert_to_numpy(fold(model)(IMAGES))
    # Keras' random layers pass the images on in float32.
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_folded_model_has_its_pyramid():
    model = small("convnext_atto", include_top=False)
    expected = pyramid(model)(IMAGES)
    found = pyramid(fold(model))(IMAGES)
    assert set(found) == {"P2", "P3", "P4", "P5"}
    for level, values in expected.items():
        np.testing.assert_allclose(found[level], values, rtol=1e-9, atol=1e-9)


def test_precision_policies_are_kept():
    folded = fold(small("convnext_atto", dtype="mixed_bfloat16"))
    policies = {layer.name: layer.dtype_policy.name for layer in folded.layers[1:]}
    assert policies["stage0_block0_mlp"] == "mixed_bfloat16"
    assert policies["head_dense"] == "float32"


def test_kernels_are_stored_in_the_type_that_they_are_used_in(tmp_path):
    folded = fold(small("convnextv2_atto", dtype="mixed_bfloat16"))
    mlp = folded.get_layer("stage0_block0_mlp")
    for variable in (mlp.expand_kernel, mlp.expand_bias, mlp.project_kernel):
        assert variable.dtype == "bfloat16"
    folded.save(tmp_path / "folded.keras")
    again = keras.models.load_model(tmp_path / "folded.keras")
    assert again.get_layer("stage0_block0_mlp").expand_kernel.dtype == "bfloat16"
    np.testing.assert_array_equal(again(IMAGES), folded(IMAGES))


def test_what_is_used_several_times_stays_and_keeps_its_one_set_of_weights():
    image = keras.Input((9, 8, 6))
    inner = keras.Input((None, None, 6))
    within = keras.Model(
        inner, keras.layers.Conv2D(6, 1)(LayerNorm(name="norm")(inner)), name="within"
    )
    conv = keras.layers.Conv2D(6, 3, padding="same", name="conv")
    norm = keras.layers.BatchNormalization(name="norm_of_two")
    once = within(image)
    model = keras.Model(image, [norm(conv(once)), norm(conv(within(conv(image))))])
    random = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(random.uniform(0.3, 1.0, variable.shape))
    folded = fold(model)
    images = random.normal(size=(2, 9, 8, 6))
    for found, expected in zip(folded(images), model(images), strict=True):
        # Float32, through three layers.
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    # The norm of the model inside goes into its convolution, nothing else does.
    assert folding_report(model) == {"norm_of_two": "it is used several times"}
    assert [layer.name for layer in folded.layers[1:]] == [
        "within",
        "conv",
        "norm_of_two",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("builder", [MaskRCNN, CascadeMaskRCNN])
def test_a_folded_detector_finds_the_same_objects(builder):
    model = tiny_detector(partial(builder, dtype="float64"))
    folded, left = fold_with_reasons(model)
    assert left == {"stem_norm": "its output goes to more than one layer"}
    kinds = {type(layer).__name__ for layer in folded.layers}
    assert "BatchNormalization" not in kinds
    images = np.kron(random_images(2, 4, 5), np.ones((1, 15, 16, 1)))
    expected, found = model.predict_on_batch(images), folded.predict_on_batch(images)
    assert expected["count"].min() >= 2
    np.testing.assert_array_equal(found["classes"], expected["classes"])
    # What goes into the heads' last layers, which compute in float32, differs by what
    # float64 rounds: now and then a number becomes its neighbor in float32, 6e-8 of
    # itself away. All in float32, one image at a time differs from two together by up
    # to 1e-5. Boxes are shares of the image's width here.
    for name, side in (("boxes", 64), ("scores", 1), ("masks", 1)):
        np.testing.assert_allclose(
            found[name] / side, expected[name] / side, atol=1e-6, rtol=0
        )


class Doubling(keras.Model):
    """A model whose own code no graph shows."""

    def call(self, inputs):
        return 2 * inputs


def test_models_that_cannot_be_followed_are_refused():
    image = keras.Input((4,))
    with pytest.raises(ValueError, match="wants a functional Keras model"):
        fold(keras.Sequential([keras.layers.Dense(3)]))
    with pytest.raises(ValueError, match="got Doubling 'of_ones_own'"):
        fold(keras.Model(image, Doubling(name="of_ones_own")(image)))


@pytest.mark.parametrize("norm", ["layer", "rms", "simple"])
def test_unit_scale_divides_by_the_deviation(norm):
    x = np.random.default_rng(2).normal(3, 2, (2, 3, 8))
    roots = {
        "layer": x.std(axis=-1, keepdims=True),
        "rms": np.sqrt((x**2).mean(axis=-1, keepdims=True)),
        "simple": x.std(axis=-1, ddof=1, keepdims=True),
    }
    scaled = ScaleByInverseStd(norm, epsilon=0.0, dtype="float64")(x)
    np.testing.assert_allclose(scaled, x / roots[norm], rtol=1e-12)


def test_layer_scale_alone_is_left_with_a_reason():
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, LayerScale(0.5, name="scale")(image))
    assert folding_report(model) == {"scale": "its output is an output of the model"}
