"""Models as people build them: what is exported answers as Keras and the loss say."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from export import main as command
from export.convert import signatures
from export.convert.precisions import PRECISIONS
from export.model import float32, loaded_model
from export.model.forward import Network, with_features
from export.verify import parity
from export.verify.agreement import measure_agreement, say, score_of_each
from export.verify.reference import Reference
from keras_convnext.folding import fold
from keras_convnext.models import build
from keras_convnext.preprocessing import Preprocessing
from tests.checks import tiny_variant
from tests.export.conftest import encoded, smooth_images

SHAPE = (32, 32, 3)
IMAGES = smooth_images(4)
# A dozen layers in another order of summation, each rounding at 6e-8.
ROUNDING = 1e-5
WIDE = keras.initializers.RandomNormal(stddev=0.3, seed=2)


def export(*arguments):
    return command.main(["export", *map(str, arguments)])


def backbone(pooling="avg", **arguments):
    """A narrow backbone, one block a stage, whose blocks count."""
    variant = tiny_variant(depths=(1, 1, 1, 1), widths=(8, 8, 8, 8))
    given = {"input_shape": SHAPE, "layer_scale_init_value": 0.5, "seed": 0}
    return build(variant, False, weights=None, pooling=pooling, **given, **arguments)


def with_head(*layers, net=None, loss=None):
    net = net or backbone()
    x = net.output
    for layer in layers:
        x = layer(x)
    model = keras.Model(net.input, x)
    if loss is not None:
        model.compile("adam", loss)
    return model


def dense(units, activation=None, **arguments):
    return keras.layers.Dense(units, activation, kernel_initializer=WIDE, **arguments)


def sequential():
    return keras.Sequential([backbone(), dense(5, "softmax")])


def classifier_behind_augmentation():
    image = keras.Input(SHAPE)
    flipped = keras.layers.RandomFlip("horizontal")(image)
    return keras.Model(image, with_head(dense(5, "softmax"))(flipped))


def scaled_by_arithmetic():
    image = keras.Input(SHAPE)
    x = backbone(include_preprocessing=False)(image / 127.5 - 1.0)
    return keras.Model(image, dense(5, "softmax")(x))


def softmax_by_an_operation():
    return with_head(dense(5), keras.ops.softmax)


def softmax_then_cast():
    cast = keras.layers.Activation("linear", dtype="float32")
    return with_head(dense(5), keras.layers.Softmax(), cast)


def one_logit():
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    return with_head(dense(1), loss=loss)


def labels_as_logits():
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    return with_head(dense(5), loss=loss)


def sigmoids():
    return with_head(dense(5, "sigmoid"))


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def unchanged(outputs):
    return outputs


FORMS = {
    sequential: unchanged,
    classifier_behind_augmentation: unchanged,
    scaled_by_arithmetic: unchanged,
    softmax_by_an_operation: unchanged,
    softmax_then_cast: unchanged,
    one_logit: sigmoid,
    labels_as_logits: sigmoid,
    sigmoids: unchanged,
}


def exported(model, folder, labels=None):
    """The source and the signatures that an export of a saved model has."""
    model.save(folder / "model.keras")
    if labels:
        (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    loaded = loaded_model.load(folder / "model.keras")
    network = Network(
        loaded.model,
        loaded.preprocessing,
        fold(with_features(loaded.model)),
        meaning=loaded.meaning,
        normalizes=loaded.normalizes,
    )
    top = min(5, len(loaded.labels))
    made = signatures.make(network, loaded.preprocessing, loaded.labels, top)
    # Signatures do not keep the network alive.
    return loaded, made, network


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.slow
def test_a_model_answers_as_keras_and_its_loss_say(form, tmp_path):
    model = form()
    expected = FORMS[form](model.predict(IMAGES, verbose=0))
    _, made, _kept = exported(model, tmp_path)
    found = made["tensors"](tensors=tf.constant(IMAGES))["probabilities"]
    np.testing.assert_allclose(found, expected, atol=ROUNDING)
    assert np.std(expected) > 0.01
    features = made["features"](tensors=tf.constant(IMAGES))["features"]
    assert features.shape == (4, 8)


def files():
    return tf.constant([encoded(np.uint8(image)) for image in IMAGES])


@pytest.mark.parametrize("names", [("cat", "dog"), ("dog",)])
@pytest.mark.slow
def test_one_output_tells_both_classes_where_both_have_names(names, tmp_path):
    model = one_logit()
    loaded, made, _kept = exported(model, tmp_path, names)
    second = sigmoid(model.predict(IMAGES, verbose=0))[:, 0]
    told = made["bytes"](image_bytes=files())
    each = {"dog": second, "cat": 1 - second}
    for row, (classes, scores) in enumerate(
        zip(told["classes"].numpy(), told["scores"].numpy(), strict=True)
    ):
        assert {name.decode() for name in classes} == set(names)
        for name, score in zip(classes, scores, strict=True):
            assert score == pytest.approx(each[name.decode()][row], abs=ROUNDING)
        assert list(scores) == sorted(scores, reverse=True)
    assert loaded.labels == names


@pytest.mark.slow
def test_labels_by_themselves_keep_their_own_probabilities(tmp_path):
    model = labels_as_logits()
    names = ("a", "b", "c", "d", "e")
    _, made, _kept = exported(model, tmp_path, names)
    expected = sigmoid(model.predict(IMAGES, verbose=0))
    told = made["bytes"](image_bytes=files())
    order = np.argsort(-expected, axis=-1)
    np.testing.assert_allclose(
        told["scores"], np.take_along_axis(expected, order, -1), atol=ROUNDING
    )
    wanted = [[names[number].encode() for number in row] for row in order]
    assert told["classes"].numpy().tolist() == wanted


def test_features_of_a_head_of_convolutions_are_what_is_behind_them():
    pooling = keras.layers.GlobalAveragePooling2D()
    convolution = keras.layers.Conv2D(5, 1, kernel_initializer=WIDE)
    model = with_head(convolution, pooling, keras.layers.Softmax(), net=backbone(None))
    features, outputs = with_features(model)([IMAGES], training=False)
    assert features.shape == (4, 5)
    np.testing.assert_allclose(tf.nn.softmax(features), outputs, atol=ROUNDING)


def test_features_behind_a_normalized_head_are_what_the_dense_layer_sees():
    last = dense(5)
    model = with_head(
        keras.layers.Dropout(0.5),
        last,
        keras.layers.BatchNormalization(),
        keras.layers.Softmax(),
    )
    features, _ = with_features(model)([IMAGES], training=False)
    seen = keras.Model(model.input, last.input).predict(IMAGES, verbose=0)
    np.testing.assert_allclose(features, seen, atol=ROUNDING)


@pytest.mark.slow
def test_an_export_by_command_states_what_the_outputs_are(tmp_path, capsys):
    model = one_logit()
    model.save(tmp_path / "model.keras")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    out = tmp_path / "out"
    arguments = (f"--model={tmp_path}", f"--out={out}", "--most_images=4")
    assert export(*arguments) == 0
    assert "labels alike" in capsys.readouterr().out
    manifest = json.loads((out / "export.json").read_text())
    assert manifest["output"]["kind"] == "sigmoid"
    assert "BinaryCrossentropy" in manifest["output"]["origin"]
    for entry in manifest["artefacts"].values():
        assert entry["agreement"] == 1.0
        assert entry["top1_agreement"] is None
    assert "probability of each label" in (out / "report.html").read_text()


@pytest.mark.slow
def test_features_are_exported_where_the_outputs_are_told_to_be_some(tmp_path, capsys):
    model = backbone()
    model.save(tmp_path / "model.keras")
    out = tmp_path / "out"
    arguments = (f"--model={tmp_path}", f"--out={out}", "--most_images=4")
    assert export(*arguments, "--output=features", "--format=saved_model") == 0
    loaded = tf.saved_model.load(str(out / "saved_model" / "1"))
    assert set(loaded.signatures) == {"features", "serving_default"}
    found = loaded.signatures["features"](tensors=tf.constant(IMAGES))["features"]
    expected = model.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert not (out / "labels.txt").exists()
    assert export(*arguments) == 2
    assert "--output=" in capsys.readouterr().err


def quantized():
    model = with_head(dense(5, "softmax", name="last"))
    model.quantize("int8", filters="^last$")
    return model


def alike():
    zeros = keras.layers.Dense(5, "softmax", kernel_initializer="zeros")
    return with_head(zeros)


def without_normalization():
    net = backbone(include_preprocessing=False)
    return with_head(dense(5, "softmax"), net=net)


def two_outputs():
    net = backbone()
    heads = [dense(2, "softmax", name="one"), dense(3, "softmax", name="other")]
    return keras.Model(net.input, [head(net.output) for head in heads])


REFUSED = {
    quantized: "export the model as it was before, with --precision=int8",
    alike: "answers every image alike",
    without_normalization: "--normalization=imagenet",
    two_outputs: "one, other",
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_cannot_be_exported_is_one_line_and_exit_code_2(form, tmp_path, capsys):
    form().save(tmp_path / "model.keras")
    out = tmp_path / "out"
    arguments = (f"--model={tmp_path}", f"--out={out}", "--most_images=4")
    assert export(*arguments, "--format=saved_model,tflite") == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("export: error: ")
    assert REFUSED[form] in last
    assert not out.exists()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
@pytest.mark.slow
def test_a_model_of_another_precision_computes_in_float32(policy):
    model = with_head(dense(5, "softmax"), net=backbone(dtype=policy))
    made = float32.in_float32(model)
    assert float32.other_precisions(model) == [policy]
    assert float32.other_precisions(made) == []
    same = with_head(dense(5, "softmax"))
    same.set_weights(model.get_weights())
    expected = same.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(made.predict(IMAGES, verbose=0), expected, atol=ROUNDING)


def reference(kind, probabilities):
    count = len(probabilities)
    return Reference(
        names=tuple(map(str, range(count))),
        files=(),
        images=(),
        tensors=np.zeros((count, *SHAPE), np.float32),
        probabilities=np.float32(probabilities),
        features=np.zeros((count, 8), np.float32),
        labels=("a",) * len(probabilities[0]),
        kind=kind,
    )


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=lambda each: each.name)
@pytest.mark.parametrize(
    ("kind", "keras_says", "file_says"),
    [
        ("sigmoid", [[0.9], [0.8], [0.7]], [[1.0], [1.0], [1.0]]),
        ("softmax", [[0.9, 0.1], [0.6, 0.4]], [[0.75, 0.25], [0.75, 0.25]]),
    ],
)
def test_a_file_that_answers_all_images_alike_never_passes(
    precision, kind, keras_says, file_says, monkeypatch
):
    answers = {
        "answers": np.float32(file_says),
        "latencies_ms": np.ones(3),
        "load_ms": np.array(1.0),
        "peak_bytes": np.array(1.0),
    }
    monkeypatch.setattr(parity, "run_alone", lambda *_: answers)
    shown = parity.verify("file", precision, reference(kind, keras_says))
    # The classes are the same: by them alone the file would pass.
    assert shown.agreement == 1.0
    assert "it answers every image alike" in shown.problems


def test_agreement_fits_what_the_outputs_are():
    expected = np.array([[0.9, 0.2, 0.6], [0.1, 0.8, 0.7]])
    found = np.array([[0.8, 0.1, 0.4], [0.1, 0.6, 0.9]])
    # One label of six crosses 0.5; the first class changes in the second row.
    assert measure_agreement("sigmoid", expected, found) == pytest.approx(5 / 6)
    assert measure_agreement("softmax", expected, found) == 0.5
    assert measure_agreement("features", expected, 3 * expected) == 1.0
    np.testing.assert_allclose(score_of_each(np.array([[0.7]]), 2), [[0.3, 0.7]])
    assert say("sigmoid", np.array([0.9, 0.2, 0.6]), "abc") == "a 90.0%, c 60.0%"
    assert say("sigmoid", np.array([0.1, 0.2, 0.3]), "abc") == "c 30.0%"
    assert say("sigmoid", np.array([0.2]), ("cat", "dog")) == "cat 80.0%"
    assert say("softmax", np.array([0.3, 0.4, 0.3]), "abc") == "b 40.0%"


def test_normalization_that_is_told_is_applied(tmp_path):
    model = without_normalization()
    model.save(tmp_path / "model.keras")
    loaded = loaded_model.load(tmp_path / "model.keras", normalization="symmetric")
    network = Network(
        loaded.model,
        loaded.preprocessing,
        meaning=loaded.meaning,
        normalizes=loaded.normalizes,
    )
    expected = model.predict(IMAGES / 127.5 - 1, verbose=0)
    np.testing.assert_allclose(
        network.probabilities(tf.constant(IMAGES)), expected, atol=ROUNDING
    )


def test_a_network_finds_out_by_itself_what_a_model_of_ours_means():
    preprocessing = Preprocessing(size_px=32)
    assert Network(sigmoids(), preprocessing).meaning.kind == "sigmoid"
