"""Batch normalization folded into what stands before it, in anybody's models."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_convnext.folding import fold, folding_report
from keras_convnext.layers import BatchNormalization, LayerNorm

# A few roundings of 1e-16, on outputs of order one.
EXACT = 1e-13
IMAGES = np.random.default_rng(0).normal(size=(2, 9, 8, 6))


@pytest.fixture(autouse=True)
def float64():
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy("float32")


def model_of(*parts, shape=IMAGES.shape[1:]):
    """The layers one after another, every variable far from its neutral value."""
    x = image = keras.Input(shape, dtype="float64")
    for part in parts:
        x = part(x)
    model = keras.Model(image, x)
    random = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(random.uniform(0.3, 1.5, variable.shape))
    return model


def kinds_of(model):
    return [type(layer).__name__ for layer in model.layers[1:]]


def check_equal(model, folded, images=IMAGES):
    expected = keras.ops.convert_to_numpy(model(images))
    found = keras.ops.convert_to_numpy(folded(images))
    assert np.abs(found - expected).max() < EXACT * np.abs(expected).max()


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (
            layers.Conv2D,
            {"filters": 4, "kernel_size": 3, "padding": "same", "use_bias": False},
        ),
        (layers.Conv2D, {"filters": 4, "kernel_size": 3, "strides": 2}),
        (
            layers.Conv2D,
            {"filters": 4, "kernel_size": 3, "dilation_rate": 2, "padding": "same"},
        ),
        (layers.Conv2D, {"filters": 4, "kernel_size": 3, "groups": 2}),
        (layers.DepthwiseConv2D, {"kernel_size": 3, "depth_multiplier": 2}),
        (layers.Dense, {"units": 4, "use_bias": False}),
    ],
)
@pytest.mark.parametrize("norm", [layers.BatchNormalization, BatchNormalization])
def test_it_goes_into_any_layer_before_it(kind, given, norm):
    layer = kind(**given, name="conv")
    model = model_of(layer, norm(epsilon=0.1), layers.ReLU())
    folded = fold(model)
    check_equal(model, folded)
    assert kinds_of(folded) == [type(layer).__name__, "ReLU"]
    assert folded.layers[1].name == "conv"
    assert folding_report(model) == {}


def test_it_goes_into_convolutions_of_one_and_of_three_directions():
    for layer, shape in (
        (layers.Conv1D(4, 3), (9, 6)),
        (layers.Conv3D(4, 2), (4,) * 4),
    ):
        model = model_of(layer, layers.BatchNormalization(), shape=shape)
        folded = fold(model)
        check_equal(model, folded, np.random.default_rng(2).normal(size=(2, *shape)))
        assert kinds_of(folded) == [type(layer).__name__]


def test_two_of_them_without_scale_or_offset_are_one_convolution():
    model = model_of(
        layers.Conv2D(4, 1),
        layers.BatchNormalization(scale=False),
        layers.BatchNormalization(center=False),
    )
    folded = fold(model)
    check_equal(model, folded)
    assert kinds_of(folded) == ["Conv2D"]


def test_a_norm_before_and_one_behind_go_into_one_convolution():
    # A window of one position has no padding, whatever it is called with.
    model = model_of(
        LayerNorm(),
        layers.Conv2D(4, 1, padding="same", use_bias=False),
        BatchNormalization(),
    )
    folded = fold(model)
    check_equal(model, folded)
    assert kinds_of(folded) == ["ScaleByInverseStd", "Conv2D"]


@pytest.mark.parametrize(
    "parts",
    [
        # Behind an activation, and over another axis than the convolution's outputs.
        lambda: [layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization()],
        lambda: [layers.Conv2D(4, 3), layers.BatchNormalization(axis=1)],
        lambda: [layers.Conv2DTranspose(4, 3), layers.BatchNormalization()],
    ],
)
def test_where_it_cannot_go_it_stays_with_a_reason(parts):
    model = model_of(*parts())
    folded = fold(model)
    check_equal(model, folded)
    assert kinds_of(folded) == kinds_of(model)
    assert [*folding_report(model)] == [model.layers[-1].name]


def test_one_that_takes_the_statistics_of_the_batch_stays():
    image = keras.Input((9, 8, 6), dtype="float64")
    x = layers.BatchNormalization(name="norm")(
        layers.Conv2D(4, 3)(image), training=True
    )
    model = keras.Model(image, x)
    folded = fold(model)
    check_equal(model, folded)
    assert kinds_of(folded) == kinds_of(model)
