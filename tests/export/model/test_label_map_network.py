"""The graph of label maps, against the rule of the library."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from export.model import label_map_network
from export.model.label_map_network import LabelMapNetwork, pixel_logits
from export.model.loaded_model import Source
from keras_convnext.image import evaluation_view
from keras_convnext.inference.outputs import OutputMeaning
from keras_convnext.preprocessing import WHOLE_IMAGE
from keras_convnext.segmentation import predict_label_map


def make_source(classes=4, activation=None, normalizes=True):
    inputs = keras.Input((48, 48, 3))
    scaled = keras.layers.Rescaling(1 / 255)(inputs)
    kernel = keras.initializers.GlorotUniform(seed=0)
    logits = keras.layers.Conv2D(classes, 3, padding="same", kernel_initializer=kernel)(
        scaled
    )
    outputs = keras.layers.Activation(activation)(logits)
    return Source(
        "model.keras",
        keras.Model(inputs, outputs),
        OutputMeaning("label_map", activation == "softmax", "a test"),
        tuple(f"class {number}" for number in range(classes)),
        replace(WHOLE_IMAGE, size_px=48),
        normalizes,
    )


@pytest.mark.parametrize("elements", [1, 3000, 2**24])
@pytest.mark.parametrize("shape", [(37, 61), (90, 50), (48, 48), (9, 200)])
def test_an_image_of_any_size_is_labeled_some_rows_at_a_time(
    shape, elements, monkeypatch
):
    monkeypatch.setattr(label_map_network, "_ELEMENTS", elements)
    source = make_source(activation="softmax")
    logits = pixel_logits(source)
    network = LabelMapNetwork(source, logits)
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype("uint8")
    view = evaluation_view(tf.constant(image), source.preprocessing)
    found = network.label_map(view, *map(tf.constant, shape)).numpy()
    expected = predict_label_map(logits.predict_on_batch, image, 48)
    assert found.dtype == np.uint8
    assert len(np.unique(expected)) > 1
    # Where two logits are equal but for rounding, a pixel may have the other class.
    assert np.mean(found != expected) < 1e-3


def test_more_than_255_classes_are_numbered_in_32_bits():
    source = make_source(classes=300)
    network = LabelMapNetwork(source, pixel_logits(source))
    view = tf.random.stateless_uniform((48, 48, 3), (0, 1), 0, 255)
    found = network.label_map(view, tf.constant(20), tf.constant(30))
    assert (found.dtype, found.shape) == (tf.int32, (20, 30))


def test_a_model_that_does_not_normalize_gets_normalized_images():
    source = make_source(normalizes=False)
    logits = pixel_logits(source)
    images = np.random.default_rng(0).uniform(0, 255, (1, 48, 48, 3)).astype("float32")
    mean, deviation = (
        255 * np.array([0.485, 0.456, 0.406]),
        255 * np.array([0.229, 0.224, 0.225]),
    )
    expected = logits.predict_on_batch(((images - mean) / deviation).astype("float32"))
    found = LabelMapNetwork(source, logits).logits(tf.constant(images))
    # Float32 sums of 27 products of about 1, in another order.
    np.testing.assert_allclose(found, expected, atol=1e-5)
