"""Segmentation models of every kind asked from Python."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import keras_convnext
from keras_convnext.inference.outputs import find_output_meaning, labels_pixels
from keras_convnext.inference.segmenter import Segmenter
from keras_convnext.segmentation import predict_label_map
from keras_convnext.whole_images import with_open_size
from tests.checks import balance_classes, raise_gains

SIDE_PX = 32
NAMES = ("red", "green", "blue")


def brightest_channel(shape=(None, None, 3), activation="softmax"):
    """A network whose class of a pixel is the channel with the largest value."""
    inputs = keras.Input(shape)
    scaled = keras.layers.Rescaling(1 / 255)(inputs)
    kernel = keras.initializers.Constant(np.eye(3)[None, None])
    outputs = keras.layers.Conv2D(3, 1, kernel_initializer=kernel)(scaled)
    if activation:
        outputs = keras.layers.Activation(activation)(outputs)
    return keras.Model(inputs, outputs)


def write_model(folder, model, size_px=SIDE_PX):
    folder.mkdir(exist_ok=True)
    model.save(folder / "model.keras")
    (folder / "labels.txt").write_text("\n".join(NAMES))
    record = {"size_px": size_px, "resize": "keep_ratio"}
    (folder / "preprocessing.json").write_text(json.dumps(record))
    return folder


def random_image(height, width, seed=0):
    shape = (height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape).astype("uint8")


@pytest.mark.parametrize("activation", [None, "softmax"])
@pytest.mark.parametrize("shape", [(None, None, 3), (SIDE_PX, SIDE_PX, 3)])
def test_an_image_of_any_form_gets_a_label_map_of_its_own_size(
    tmp_path, shape, activation
):
    folder = write_model(tmp_path, brightest_channel(shape, activation))
    model = keras_convnext.load(folder)
    # Its shorter side is the model's size, so that nothing is resized.
    image = random_image(SIDE_PX, 71)
    expected = image.argmax(-1)
    Image.fromarray(image).save(tmp_path / "image.png")
    for given in (image, image.astype("float32"), tmp_path / "image.png"):
        found = model(given)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)
    [first, second] = model([image, Image.fromarray(image[:, ::-1])])
    np.testing.assert_array_equal(first, second[:, ::-1])
    assert model([]) == []
    assert (model.labels, model.kind, model.notices) == (NAMES, "keras", ())
    assert model.palette.shape == (3, 3)


def test_a_model_without_files_beside_it_says_what_it_takes_for_granted(tmp_path):
    brightest_channel().save(tmp_path / "model.keras")
    model = keras_convnext.load(tmp_path / "model.keras")
    assert model.labels == ("class 0", "class 1", "class 2")
    assert model.preprocessing.size_px == 512
    assert ["labels.txt" in line for line in model.notices] == [True, False]
    assert "resized to 512 px and keep their ratio" in model.notices[1]


def test_the_crop_of_its_backbones_classifier_is_none_of_a_segmentation_models(
    tmp_path,
):
    write_model(tmp_path, brightest_channel())
    record = {"size_px": SIDE_PX, "crop_mode": "center", "crop_fraction": 0.875}
    (tmp_path / "preprocessing.json").write_text(json.dumps(record))
    seen = keras_convnext.load(tmp_path).preprocessing
    assert (seen.crop_mode, seen.crop_fraction) == ("keep_ratio", 1.0)
    assert (seen.interpolation, seen.antialias) == ("bilinear", False)


def test_a_network_of_one_size_takes_whole_images_with_the_same_weights():
    model = keras_convnext.UPerNet(
        "convnext_atto", 3, input_shape=(64, 64, 3), auxiliary_head=False
    )
    opened = with_open_size(raise_gains(model))
    images = np.float32(random_image(64, 64)[None])
    np.testing.assert_array_equal(opened(images), model(images))
    assert opened(np.float32(random_image(70, 90)[None])).shape == (1, 70, 90, 3)


def test_a_network_made_for_one_size_alone_is_refused_in_one_line(tmp_path):
    inputs = keras.Input((32, 32, 3))
    flat = keras.layers.Flatten()(inputs)
    outputs = keras.layers.Reshape((32, 32, 2))(keras.layers.Dense(2048)(flat))
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"32 x 32 pixels alone: build it with"):
        keras_convnext.load(
            tmp_path / "model.keras", normalization="none", output="logits"
        )


def test_a_model_that_does_not_normalize_gets_normalized_images(tmp_path):
    seen = keras.Input((None, None, 3))
    # Red counts as it is, and the others are constant: it is above or below 0.5.
    kernel = np.zeros((1, 1, 3, 2))
    kernel[0, 0, 0, 1] = 1
    outputs = keras.layers.Conv2D(
        2,
        1,
        kernel_initializer=keras.initializers.Constant(kernel),
        bias_initializer=keras.initializers.Constant([0.5, 0]),
    )(seen)
    keras.Model(seen, outputs).save(tmp_path / "model.keras")
    model = keras_convnext.load(tmp_path / "model.keras", normalization="unit")
    image = np.zeros((32, 32, 3), "uint8")
    image[:, 16:, 0] = 255
    assert np.bincount(model(image)[:, :12].ravel(), minlength=2)[1] == 0
    assert np.bincount(model(image)[:, 20:].ravel(), minlength=2)[0] == 0


def test_a_published_upernet_has_ade20ks_classes_and_takes_any_size(monkeypatch):
    built = {}

    def create(name, **options):
        built.update(options, name=name)
        return brightest_channel()

    monkeypatch.setattr("keras_convnext.inference.loaded_model.create", create)
    model = keras_convnext.load("upernet_convnext_base.ade20k_640")
    assert isinstance(model, Segmenter)
    assert model.labels[:2] == ("wall", "building")
    assert (model.kind, model.preprocessing.size_px) == ("checkpoint", 640)
    assert built["input_shape"] == (None, None, 3)


def test_a_feature_map_of_another_size_is_no_label_map():
    backbone = keras_convnext.ConvNeXtAtto(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    assert not labels_pixels(backbone)
    with pytest.raises(ValueError, match=r"not \(batch, classes\)"):
        find_output_meaning(backbone)


def test_a_label_map_of_one_channel_is_refused_in_one_line():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1, activation="sigmoid")(inputs))
    with pytest.raises(ValueError, match="a softmax over two channels"):
        find_output_meaning(model)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"size_px": 32, "resize": "stretch"}, "resize is 'stretch', not keep_ratio"),
        ({"crop_mode": "keep"}, "not center or squash or keep_ratio"),
    ],
)
def test_a_preprocessing_that_is_none_is_named(tmp_path, record, words):
    write_model(tmp_path, brightest_channel())
    (tmp_path / "preprocessing.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=words):
        keras_convnext.load(tmp_path)


@pytest.mark.slow
def test_a_run_of_an_upernet_answers_as_the_rule_says(tmp_path):
    arguments = {"classifier_activation": "softmax", "auxiliary_head": False}
    made = keras_convnext.UPerNet(
        "convnext_atto", 3, input_shape=(None, None, 3), **arguments
    )
    image = random_image(50, 90)
    balance_classes(raise_gains(made), image[None])
    folder = write_model(tmp_path, made, size_px=64)
    logits = keras.Model(made.input, made.get_layer("decode_resize").output)
    expected = predict_label_map(logits.predict_on_batch, image, 64)
    assert len(np.unique(expected)) == 3
    found = keras_convnext.load(folder)(image)
    # Another graph rounds otherwise where two logits are equal but for rounding.
    assert np.mean(found != expected) < 1e-3
