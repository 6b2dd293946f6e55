"""UPerNet's parts by closed forms, its sizes, its counts, its files."""

import keras
import numpy as np
import pytest

import keras_convnext
from keras_convnext.segmentation import AdaptiveAveragePooling2D, ResizeLike, UPerNet

# Counted by mmsegmentation 1.2.2, the auxiliary head included. Source: its model zoo.
PARAMETERS = {
    "convnext_tiny": 60_242_636,
    "convnext_small": 81_877_196,
    "convnext_base": 122_102_956,
    "convnext_large": 234_994_796,
    "convnext_xlarge": 391_140_396,
}


@pytest.fixture(scope="module")
def atto():
    return UPerNet(
        "convnext_atto",
        3,
        input_shape=(None, None, 3),
        head_channels=32,
        stochastic_depth_rate=0.1,
        seed=1,
    )


def training_model(model):
    return keras.Model(model.input, [model.output, model.auxiliary])


@pytest.mark.parametrize(
    ("height", "width", "size"), [(16, 7, 3), (2, 3, 6), (5, 5, 1)]
)
def test_a_bin_is_the_mean_from_floor_to_ceil(height, width, size):
    x = np.random.default_rng(0).normal(size=(2, height, width, 4)).astype("float32")
    expected = np.zeros((2, size, size, 4))
    for i in range(size):
        rows = slice(i * height // size, -(-(i + 1) * height // size))
        for j in range(size):
            columns = slice(j * width // size, -(-(j + 1) * width // size))
            expected[:, i, j] = x[:, rows, columns].mean((1, 2))
    # Sums of at most 112 float32 numbers near 1.
    np.testing.assert_allclose(AdaptiveAveragePooling2D(size)(x), expected, atol=1e-6)


def test_resizing_has_half_pixel_centers_and_no_antialiasing():
    x = np.array([0.0, 4.0], "float32").reshape(1, 1, 2, 1)
    like = np.zeros((1, 1, 8, 5), "float32")
    # Target i lies at (i + 0.5) / 4 - 0.5 of the source, held to 0..1.
    places = np.clip((np.arange(8) + 0.5) / 4 - 0.5, 0, 1)
    np.testing.assert_allclose(ResizeLike()(x, like)[0, 0, :, 0], 4 * places, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", PARAMETERS)
def test_it_has_the_published_number_of_parameters(backbone):
    model = training_model(UPerNet(backbone))
    counted = sum(int(np.prod(each.shape)) for each in model.trainable_variables)
    assert counted == PARAMETERS[backbone]


def test_logits_have_the_size_of_the_image_whatever_it_is(atto):
    for size in ((64, 96), (70, 45), (33, 33)):
        images = np.random.default_rng(0).uniform(0, 255, (2, *size, 3))
        logits = np.asarray(atto(images))
        assert logits.shape == (2, *size, 3)
        assert np.isfinite(logits).all()


def test_a_fixed_size_gives_the_numbers_of_an_open_one(atto):
    images = np.random.default_rng(0).uniform(0, 255, (1, 72, 56, 3))
    fixed = UPerNet("convnext_atto", 3, input_shape=(72, 56, 3), head_channels=32)
    fixed.set_weights(atto.get_weights())
    np.testing.assert_allclose(fixed(images), atto(images), atol=1e-5)


def test_the_auxiliary_head_reads_the_third_level_and_trains_alone(atto):
    model = training_model(atto)
    assert model.output_shape == [(None, None, None, 3)] * 2
    assert not {each.path for each in atto.weights if "auxiliary" in each.path}
    kernel = model.get_layer("auxiliary_conv").kernel
    assert tuple(kernel.shape) == (3, 3, 160, 16)
    assert UPerNet("convnext_atto", 3, auxiliary_head=False).auxiliary is None


@pytest.mark.slow
def test_a_saved_model_gives_the_same_logits_without_the_auxiliary_head(atto, tmp_path):
    images = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3))
    atto.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(images), atto(images), atol=1e-6)
    assert loaded.auxiliary is None


@pytest.mark.slow
def test_a_folded_model_gives_the_same_logits():
    model = UPerNet("convnext_atto", 3, input_shape=(None, None, 3), dtype="float64")
    random = np.random.default_rng(0)
    for variable in model.weights:
        if variable.name != "kernel":
            variable.assign(random.uniform(0.3, 1.0, variable.shape))
    folded = keras_convnext.fold(model)
    kinds = {type(layer).__name__ for layer in folded.layers}
    assert not kinds & {"BatchNormalization", "Dropout", "LayerScale"}
    # The norms of the three fine levels are in the laterals, that of the coarse one
    # goes to six layers.
    assert [
        layer.name for layer in folded.layers if type(layer).__name__ == "LayerNorm"
    ] == ["stem_norm", "pyramid_norm_p5"]
    images = random.uniform(0, 255, (1, 70, 45, 3))
    expected = model.predict(images, verbose=0)
    found = folded.predict(images, verbose=0)
    # Logits are float32.
    assert np.abs(found - expected).max() < 1e-6 * np.abs(expected).max()


def test_weights_of_a_classifier_start_the_backbone_and_say_what_stays(atto, tmp_path):
    classifier = keras_convnext.ConvNeXtAtto(
        weights=None, input_shape=(64, 64, 3), seed=2
    )
    keras_convnext.save_weights_as(classifier, tmp_path / "a.safetensors", "timm")
    report = keras_convnext.load_weights(atto, tmp_path / "a.safetensors")
    kernel = "stage1_block0_dwconv"
    np.testing.assert_array_equal(
        atto.get_layer(kernel).kernel, classifier.get_layer(kernel).kernel
    )
    assert {name.partition("_")[0] for name in report.kept} == {
        *("decode", "auxiliary", "pyramid")
    }
    assert any("stay as they were built" in note for note in report.notes)


def test_in_mixed_precision_all_but_the_logits_are_computed_in_16_bits():
    shape = {"input_shape": (64, 64, 3), "head_channels": 8}
    model = UPerNet("convnext_atto", 3, dtype="mixed_bfloat16", **shape)
    layers = [each for each in training_model(model).layers if each.weights]
    assert {each.name for each in layers if each.compute_dtype == "float32"} == {
        *("decode_logits", "auxiliary_logits")
    }
    exact = UPerNet("convnext_atto", 3, **shape)
    exact.set_weights(model.get_weights())
    images = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3))
    expected, found = exact(images), model(images)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    # Seven bits behind the first one, through some twenty layers.
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_a_backbone_without_four_stages_is_refused():
    with pytest.raises(ValueError, match="four stages"):
        UPerNet("convnext_isotropic_small", 3)
