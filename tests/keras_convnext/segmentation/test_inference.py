"""From images of any size to label maps, against plain formulas."""

from dataclasses import replace
from fractions import Fraction

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_convnext.image import evaluation_view
from keras_convnext.preprocessing import WHOLE_IMAGE
from keras_convnext.segmentation import inference
from keras_convnext.segmentation.inference import (
    logits_model,
    predict_label_map,
    to_label_map,
)
from keras_convnext.whole_images import resize_image, resized_shape

CLASSES = 4


def linear_logits(images):
    """Logits that are linear in the colors: they commute with bilinear resizing."""
    kernel = np.random.default_rng(3).normal(size=(3, CLASSES)) / 255
    return np.asarray(images) @ kernel.astype("float32")


def smooth_image(height, width):
    """An image with differences that no rounding turns around."""
    generator = np.random.default_rng(height * width)
    return generator.integers(0, 256, (height, width, 3)).astype("uint8")


def resize(values, shape):
    return tf.image.resize(values, shape).numpy()


@pytest.mark.parametrize("size_px", [512, 640, 129])
@pytest.mark.parametrize(
    "shape", [(480, 640), (683, 512), (100, 1000), (1300, 200), (7, 7)]
)
def test_the_ratio_is_kept_and_one_side_is_as_long_as_it_may_be(shape, size_px):
    factor = min(
        Fraction(4 * size_px, max(shape)),
        Fraction(size_px, min(shape)),
    )
    expected = tuple(int(side * factor + Fraction(1, 2)) for side in shape)
    assert resized_shape(*shape, size_px) == expected


def test_no_side_gets_shorter_than_the_networks_stride():
    assert resized_shape(1, 5000, 64) == (32, 256)


def test_an_image_is_resized_without_antialiasing():
    image = smooth_image(90, 200)
    expected = np.rint(resize(image.astype("float32"), (32, 71)))
    np.testing.assert_array_equal(resize_image(image, 32), expected)


@pytest.mark.parametrize("shape", [(90, 200), (30, 41), (5, 400)])
def test_a_graph_sees_an_image_as_numpy_does(shape):
    image = smooth_image(*shape)
    seen = evaluation_view(image, replace(WHOLE_IMAGE, size_px=48)).numpy()
    np.testing.assert_array_equal(seen, resize_image(image, 48))


@pytest.mark.parametrize("elements", [1, 700, 2**24])
@pytest.mark.parametrize("shape", [(37, 61), (9, 5), (20, 30), (1, 1)])
def test_logits_are_resized_before_the_best_is_chosen(shape, elements, monkeypatch):
    monkeypatch.setattr(inference, "_ELEMENTS", elements)
    logits = np.random.default_rng(0).normal(size=(20, 30, CLASSES)).astype("float32")
    expected = resize(logits, shape)
    found = to_label_map(logits, *shape)
    chosen = np.take_along_axis(expected, found[..., None].astype(int), -1)[..., 0]
    # Rounding may choose the other of two equal logits.
    assert np.all(chosen >= expected.max(-1) - 1e-5)
    assert found.dtype == np.uint8


def test_255_stays_free_for_no_class():
    assert inference.label_dtype(255) == "uint8"
    assert inference.label_dtype(256) == "int32"
    logits = np.zeros((1, 1, 300), "float32")
    logits[..., 299] = 1
    assert to_label_map(logits, 2, 2).tolist() == [[299, 299]] * 2


def test_slide_looks_at_windows_of_the_crop():
    seen = []

    def predict(images):
        seen.append(images.shape[1:3])
        return linear_logits(images)

    image = smooth_image(48, 96)
    found = predict_label_map(predict, image, 48, slide=True)
    assert seen == [(48, 48)] * 3
    np.testing.assert_array_equal(found, linear_logits(image).argmax(-1))


def test_several_scales_average_probabilities_at_the_images_size():
    image = smooth_image(40, 70)
    total = 0
    for factor in (Fraction(1, 2), 1, Fraction(3, 2)):
        # 64 is the short side times 1.6: 64 by 112.
        shape = [int(side * factor) for side in (64, 112)]
        for step in (1, -1):
            seen = np.rint(resize(image[:, ::step].astype("float32"), shape))
            # Not linear: what a network makes of an image is not, either.
            logits = resize(linear_logits(seen) ** 3, (40, 70))
            total = total + tf.nn.softmax(logits).numpy()[:, ::step]
    found = predict_label_map(
        lambda images: linear_logits(images) ** 3,
        image,
        64,
        ratios=(0.5, 1.0, 1.5),
        flip=True,
    )
    chosen = np.take_along_axis(total, found[..., None].astype(int), -1)[..., 0]
    assert np.all(chosen >= total.max(-1) - 1e-5)


@pytest.mark.parametrize(
    "last",
    [
        keras.layers.Activation("softmax"),
        keras.layers.Softmax(),
        keras.layers.Conv2D(CLASSES, 1, activation="softmax"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_logits_of_a_model_that_ends_with_probabilities_give_them_back(last):
    inputs = keras.Input((None, None, 3))
    features = keras.layers.Conv2D(CLASSES, 3, padding="same")(inputs)
    model = keras.Model(inputs, last(features))
    images = np.random.default_rng(1).normal(size=(1, 6, 5, 3)).astype("float32")
    logits = logits_model(model)(images)
    np.testing.assert_allclose(tf.nn.softmax(logits), model(images), rtol=1e-5)


def test_a_softmax_at_the_end_is_cut_off():
    inputs = keras.Input((4, 4, CLASSES))
    model = keras.Model(inputs, keras.layers.Activation("softmax")(2 * inputs))
    values = np.random.default_rng(1).normal(size=(1, 4, 4, CLASSES))
    np.testing.assert_allclose(logits_model(model)(values), 2 * values, rtol=1e-6)
