"""The SavedModel's signatures, loaded back and asked as a client would ask them."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from export.convert import saved_model
from export.model import loaded_model
from export.model.forward import Network
from keras_convnext.image import decode, evaluation_view
from keras_convnext.inference.inputs import normalizes_images
from tests import bitmaps


@pytest.fixture(scope="module")
def loaded(workdir):
    return loaded_model.load(workdir / "model.keras")


@pytest.fixture(scope="module")
def folder(out):
    return out / "saved_model" / "8"


@pytest.fixture(scope="module")
def signatures(folder):
    return tf.saved_model.load(str(folder)).signatures


@pytest.fixture(scope="module")
def views(loaded, photographs):
    return np.stack(
        [evaluation_view(decode(file), loaded.preprocessing) for file in photographs]
    )


@pytest.fixture(scope="module")
def expected(tiny_model, views):
    return tiny_model.predict(views, verbose=0)


# Two orders of summing the same float32 numbers.
TOLERANCE = 1e-5


def test_signatures_have_the_documented_names_types_and_shapes(signatures):
    def of(specs):
        return {
            name: (spec.dtype.name, spec.shape.as_list())
            for name, spec in specs.items()
        }

    encoded = ({"image_bytes": ("string", [None])}, {"classes", "scores", "status"})
    found = {
        name: (
            of(signature.structured_input_signature[1]),
            set(signature.structured_outputs),
        )
        for name, signature in signatures.items()
    }
    square = ("float32", [None, 32, 32, 3])
    assert found == {
        "serving_default": encoded,
        "bytes": encoded,
        "classify": ({"inputs": ("string", [None])}, {"classes", "scores"}),
        "images": ({"images": ("uint8", [None, None, None, 3])}, {"probabilities"}),
        "tensors": ({"tensors": square}, {"probabilities"}),
        "features": ({"tensors": square}, {"features"}),
    }
    assert of(signatures["serving_default"].structured_outputs) == {
        "classes": ("string", [None, 5]),
        "scores": ("float32", [None, 5]),
        "status": ("string", [None]),
    }
    features = signatures["features"].structured_outputs["features"]
    assert features.shape.as_list() == [None, 32]


def test_tensors_give_what_the_model_gives(signatures, views, expected):
    found = signatures["tensors"](tensors=tf.constant(views))["probabilities"]
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_features_are_what_the_classifier_sees(signatures, views, tiny_model, expected):
    features = signatures["features"](tensors=tf.constant(views))["features"].numpy()
    kernel, bias = tiny_model.get_layer("head_dense").get_weights()
    logits = features @ kernel + bias
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(shares, expected, atol=TOLERANCE)


def test_pixels_of_any_size_are_resized_and_cropped(signatures, photographs, expected):
    for file, wanted in zip(photographs, expected, strict=True):
        image = tf.constant(
            np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))[None]
        )
        found = signatures["images"](images=image)["probabilities"]
        np.testing.assert_allclose(found[0], wanted, atol=TOLERANCE)


def test_encoded_images_give_the_best_classes_in_order(
    signatures, photographs, expected, loaded
):
    answers = signatures["serving_default"](image_bytes=tf.constant(photographs))
    order = np.argsort(-expected, axis=-1)[:, :5]
    classes = [[name.decode() for name in row] for row in answers["classes"].numpy()]
    assert classes == [[loaded.labels[i] for i in row] for row in order]
    np.testing.assert_allclose(
        answers["scores"], np.take_along_axis(expected, order, -1), atol=TOLERANCE
    )
    assert list(answers["status"].numpy()) == [b""] * len(photographs)


def test_a_bad_image_has_a_status_and_its_neighbors_do_not_feel_it(
    signatures, photographs
):
    bad = {
        b"": b"empty",
        b"some text": b"not a JPEG, PNG, GIF, BMP or WebP image",
        photographs[1][:100]: b"damaged, cut short or larger than 100000000 pixels",
        # Compression 1: run lengths.
        bitmaps.raw_bmp(np.zeros((4, 4), np.uint8), 1): (
            b"a kind of BMP that is not supported (run lengths?); save it as PNG"
        ),
        bitmaps.png16(np.arange(64, dtype=np.uint16).reshape(8, 8, 1), 0): (
            b"damaged, cut short or larger than 100000000 pixels, or the upper 8 of "
            b"its 16 bits are the same in every pixel; save it with 8"
        ),
    }
    mixed = [*bad, *photographs, *bad]
    answers = signatures["serving_default"](image_bytes=tf.constant(mixed))
    alone = signatures["serving_default"](image_bytes=tf.constant(photographs))
    status = answers["status"].numpy()
    assert list(status) == [*bad.values(), *[b""] * len(photographs), *bad.values()]
    middle = slice(len(bad), -len(bad))
    np.testing.assert_array_equal(answers["classes"][middle], alone["classes"])
    np.testing.assert_allclose(
        answers["scores"][middle], alone["scores"], atol=TOLERANCE
    )
    assert not np.any(answers["scores"][: len(bad)])
    assert set(answers["classes"][: len(bad)].numpy().ravel()) == {b""}


def test_a_batch_of_bad_images_alone_is_answered(signatures):
    answers = signatures["serving_default"](image_bytes=tf.constant([b"", b"x"]))
    assert all(answers["status"].numpy())


def test_an_empty_batch_is_a_clear_error(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="The batch is empty"):
        signatures["serving_default"](image_bytes=tf.zeros([0], tf.string))
    with pytest.raises(tf.errors.InvalidArgumentError, match="The batch is empty"):
        signatures["images"](images=tf.zeros([1, 0, 4, 3], tf.uint8))


def test_no_byte_string_stops_the_process_or_goes_unanswered(signatures, photographs):
    generator = np.random.default_rng(3)
    strings = [generator.bytes(length) for length in range(0, 200, 7)]
    for file in photographs:
        for _ in range(25):
            changed = bytearray(file)
            for place in generator.integers(0, min(len(file), 400), 8):
                changed[place] = generator.integers(0, 256)
            strings.append(bytes(changed))
    answers = signatures["serving_default"](image_bytes=tf.constant(strings))
    good = answers["status"].numpy() == b""
    np.testing.assert_array_equal(answers["scores"].numpy()[:, 0] > 0, good)


def test_class_names_are_an_asset(folder, loaded):
    names = (folder / "assets" / "labels.txt").read_text(encoding="utf-8")
    assert tuple(names.splitlines()) == loaded.labels


@pytest.mark.slow
def test_every_warm_up_request_can_be_answered(folder, signatures):
    reason = "tensorflow-serving-api, whose protocols are read here, is not installed"
    logs = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2", reason=reason
    )
    place = folder / "assets.extra" / "tf_serving_warmup_requests"
    asked = []
    for record in tf.data.TFRecordDataset(str(place)).as_numpy_iterator():
        request = logs.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "convnext_atto"
        name = request.model_spec.signature_name
        inputs = {
            key: tf.constant(tf.make_ndarray(value))
            for key, value in request.inputs.items()
        }
        answers = signatures[name](**inputs)
        assert all(len(value) == 1 for value in answers.values())
        if "status" in answers:
            assert answers["status"].numpy()[0] == b""
        asked.append(name)
    assert asked == [
        "serving_default",
        "bytes",
        "classify",
        "images",
        "tensors",
        "features",
    ]


def test_examples_get_the_classes_of_the_images_in_them(signatures, photographs):
    files = [*photographs, b"no image"]
    examples = [tf.train.Example() for _ in files]
    for example, file in zip(examples, files, strict=True):
        example.features.feature["image/encoded"].bytes_list.value.append(file)
    serialized = [example.SerializeToString() for example in examples]
    found = signatures["classify"](inputs=tf.constant(serialized))
    wanted = signatures["bytes"](image_bytes=tf.constant(files))
    for name in ("classes", "scores"):
        np.testing.assert_array_equal(found[name], wanted[name])
    assert not found["scores"][-1].numpy().any()
    with pytest.raises(tf.errors.InvalidArgumentError, match="image/encoded"):
        signatures["classify"](inputs=tf.constant([b""]))


@pytest.mark.slow
def test_another_default_signature_can_be_chosen(loaded, tmp_path):
    network = Network(loaded.model, loaded.preprocessing)
    saved_model.write(loaded, network, tmp_path / "1", default="tensors")
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    assert set(signatures["serving_default"].structured_input_signature[1]) == {
        "tensors"
    }


def test_logits_become_probabilities_and_raw_models_are_normalized(tiny_variant, views):
    from keras_convnext.models import build
    from keras_convnext.preprocessing import IMAGENET

    model = build(
        tiny_variant,
        weights=None,
        input_shape=(32, 32, 3),
        classes=4,
        patch_size=2,
        include_preprocessing=False,
        classifier_activation=None,
    )
    preprocessing = type(IMAGENET)(size_px=32)
    assert not normalizes_images(model)
    network = Network(model, preprocessing)
    found = network.probabilities(tf.constant(views)).numpy()
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    logits = model.predict((views / 255 - mean) / std, verbose=0)
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found, shares, atol=TOLERANCE)
