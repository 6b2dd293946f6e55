"""Images of any number of channels and of any size, fixed or not."""

import functools

import numpy as np
import pytest

from keras_convnext.models import build
from keras_convnext.variants import VARIANTS, multiply_accumulates
from tests.checks import random_images, tiny_variant

NARROW = {
    name: tiny_variant(name)
    for name in (
        "convnext_tiny",
        "convnextv2_tiny",
        "convnext_zepto_rms_ols",
        "convnext_isotropic_large",
    )
}
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


@functools.cache
def network(name, *shape):
    return build(NARROW[name], input_shape=shape, classes=5, seed=0)


@pytest.mark.parametrize(
    "channels", [1, 4, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 12))]
)
@pytest.mark.parametrize("name", NARROW)
def test_stem_takes_any_number_of_channels(name, channels):
    model = network(name, 64, 64, channels)
    stem = model.get_layer("stem_conv").kernel
    assert stem.shape[2] == channels
    assert np.isfinite(model(random_images(2, 64, 64, channels))).all()
    three = network(name, 64, 64, 3)
    extra = (channels - 3) * stem.shape[0] * stem.shape[1] * stem.shape[3]
    assert model.count_params() - three.count_params() == extra


def test_gray_images_are_normalized_with_the_average_of_the_colors():
    model = build(NARROW["convnext_tiny"], input_shape=(32, 32, 1))
    x = random_images(2, 32, 32, 1)
    # float32 figures near one.
    np.testing.assert_allclose(
        model.get_layer("input_normalization")(x),
        (x / 255 - MEAN.mean()) / STD.mean(),
        atol=1e-5,
    )


def test_more_channels_than_three_repeat_the_colors_figures_in_turn():
    model = build(NARROW["convnext_tiny"], input_shape=(32, 32, 5))
    x = random_images(2, 32, 32, 5)
    turn = [0, 1, 2, 0, 1]
    np.testing.assert_allclose(
        model.get_layer("input_normalization")(x),
        (x / 255 - MEAN[turn]) / STD[turn],
        atol=1e-5,
    )


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("size", [(64, 64), (72, 88), (97, 65)])
def test_model_of_any_size_computes_what_the_model_of_that_size_does(name, size):
    dynamic, fixed = network(name, None, None, 3), network(name, *size, 3)
    x = random_images(2, *size)
    np.testing.assert_array_equal(dynamic(x), fixed(x))


def test_cost_of_other_channels_differs_by_the_stem_alone():
    variant = VARIANTS["convnext_tiny"]
    three, five = (multiply_accumulates(variant, channels=c) for c in (3, 5))
    assert five - three == 56 * 56 * 4 * 4 * 2 * 96
