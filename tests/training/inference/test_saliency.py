"""Grad-CAM and input gradients against what can be computed by hand."""

import json
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_convnext.models import build
from tests.checks import raise_gains, tiny_variant
from training import explain_main
from training.evaluation.metrics import predictions_from_probabilities
from training.inference import saliency
from training.report import insight_plots

RANDOM = np.random.default_rng(0)
SHAPES = {"depths": (1, 1, 1, 1), "widths": (8, 8, 16, 16)}
SMALL = {
    "v1": tiny_variant("convnext_atto", **SHAPES),
    "v2": tiny_variant("convnextv2_atto", **SHAPES),
    "overlapping stem": tiny_variant("convnext_atto_ols", **SHAPES),
    "norm before pooling": tiny_variant("convnext_tiny_hnf", **SHAPES),
    "hidden layer in the head": tiny_variant("convnext_large_mlp", **SHAPES),
    "SimpleNorm": tiny_variant("convnext_zepto_rms", **SHAPES),
    "isotropic": tiny_variant("convnext_isotropic_small", depths=(2,)),
}


def small(kind, **arguments):
    """A small network whose blocks count."""
    given = {"input_shape": (64, 32, 3), "classes": 4, "seed": 0}
    return raise_gains(build(SMALL[kind], **given, **arguments))


def random_images(count=2, height=64, width=32):
    return RANDOM.uniform(0, 255, (count, height, width, 3)).astype("float32")


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_grad_cam_of_a_pooled_linear_model_is_its_weighted_map(activation):
    inputs = keras.Input((6, 8, 3))
    maps = keras.layers.Conv2D(5, 1, use_bias=False, name="maps")
    x = keras.layers.GlobalAveragePooling2D()(maps(inputs))
    outputs = keras.layers.Dense(4, activation, name="classes")(x)
    model = keras.Model(inputs, outputs)
    images = RANDOM.normal(size=(3, 6, 8, 3)).astype("float32")
    classes = [2, 0, 3]

    mixing = maps.kernel.numpy()[0, 0].astype("float64")
    weights = model.get_layer("classes").kernel.numpy().astype("float64")
    for (cam, slopes), image, number in zip(
        zip(*saliency.explain(model, images, classes, "maps"), strict=True),
        images,
        classes,
        strict=True,
    ):
        # The mean over the positions: each has a 48th of the weight.
        effect = weights[:, number] / 48
        expected = np.maximum((image.astype("float64") @ mixing) @ effect, 0)
        # A dozen float32 operations on numbers of size 0.01.
        np.testing.assert_allclose(cam, expected, atol=1e-7)
        assert cam.max() > 0
        np.testing.assert_allclose(
            slopes, np.broadcast_to(mixing @ effect, (6, 8, 3)), atol=1e-7
        )


@pytest.mark.parametrize("kind", SMALL)
def test_the_inputs_gradient_is_the_slope_of_the_logit(kind):
    model = small(kind)
    logits = small(kind, classifier_activation=None)
    logits.set_weights(model.get_weights())
    images = random_images()
    cam, slopes = saliency.explain(model, images, [1, 3])
    # Of 64 by 32 pixels the second stage has 8 by 4 positions, the third 4 by 2.
    assert cam.shape == ((2, 4, 2) if kind == "isotropic" else (2, 8, 4))
    direction = RANDOM.choice([-1.0, 1.0], images.shape).astype("float32")
    step = 0.25
    ahead, behind = logits(images + step * direction), logits(images - step * direction)
    for number, wanted in enumerate((1, 3)):
        slope = (ahead[number, wanted] - behind[number, wanted]) / (2 * step)
        told = float(np.sum(slopes[number].astype("float64") * direction[number]))
        # The second difference of a smooth function and float32's rounding.
        assert told == pytest.approx(float(slope), rel=0.02, abs=2e-4)


def test_the_answer_is_explained_unless_a_class_is_named():
    model = small("v1")
    images = random_images()
    answers = model(images).numpy().argmax(axis=1)
    for one, other in zip(
        saliency.explain(model, images),
        saliency.explain(model, images, answers),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_a_model_without_a_dense_end_is_refused():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    with pytest.raises(ValueError, match="last layer is Dense"):
        saliency.explain(model, np.zeros((1, 8, 8, 3)))


def test_the_overlay_is_warm_where_the_map_is_high():
    cam = np.zeros((2, 2))
    cam[0, 0] = 3.0
    drawn = saliency.overlay(np.full((8, 8, 3), 100.0), cam).astype(int)
    assert drawn[0, 0, 0] > drawn[0, 0, 2] + 50
    assert np.ptp(drawn[-1, -1]) == 0


def test_a_gradient_is_drawn_dark_where_it_is_steep():
    slopes = np.zeros((10, 10, 3))
    slopes[4, 5, 2] = -2.0
    slopes[6, 1, 0] = 1.0
    gray = saliency.strength(slopes)[..., 0]
    assert gray[4, 5] == 0
    assert (gray[slopes.max(-1) == slopes.min(-1)] == 255).all()


def test_main_axes_are_those_of_a_stretched_cloud():
    places = RANDOM.normal(size=(200, 2)) * (10, 3)
    turn = np.linalg.qr(RANDOM.normal(size=(7, 7)))[0][:2]
    found, share = insight_plots.main_axes(places @ turn + 5)
    assert share == pytest.approx(1.0)
    centered = places - places.mean(axis=0)
    # Turned and mirrored perhaps, but no distance has changed.
    np.testing.assert_allclose(
        np.linalg.norm(found[:, None] - found, axis=-1),
        np.linalg.norm(centered[:, None] - centered, axis=-1),
        atol=1e-9,
    )
    assert found[:, 0].var() == pytest.approx(
        np.linalg.eigvalsh(np.cov(centered.T, bias=True))[-1]
    )


def test_names_that_would_cover_each_other_are_moved_up_and_no_others():
    places = np.array([[0.0, 0.0], [0.5, 0.02], [5.0, 0.01], [0.2, 0.06]])
    moved = insight_plots.apart(places, width=1.0, height=0.1)
    np.testing.assert_allclose(
        moved, [[0.0, 0.0], [0.5, 0.1], [5.0, 0.01], [0.2, 0.2]], atol=1e-12
    )


def test_insights_are_drawn_of_few_and_of_many():
    for count, classes in ((2, 2), (60, 30)):
        labels = np.arange(count) % classes
        names = [f"class {number}" for number in range(classes)]
        images = RANDOM.integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)
        shares = RANDOM.dirichlet(np.ones(classes), count)
        features = RANDOM.normal(size=(count, 5))
        for png in (
            insight_plots.embedding(features, images, labels, names),
            insight_plots.calibration(predictions_from_probabilities(labels, shares)),
        ):
            assert png.startswith(b"\x89PNG")


def wrapped(model):
    """The same classifier as people build it around a backbone, by name."""
    top = model.get_layer("head_dense")
    backbone = keras.Model(model.input, top.input)
    inputs = keras.Input((64, 32, 3))
    flip = keras.layers.RandomFlip()
    made = {
        "called": keras.Model(inputs, top(backbone(inputs))),
        "Sequential": keras.Sequential([keras.Input((64, 32, 3)), backbone, top]),
        "augmentation in front": keras.Model(inputs, model(flip(inputs))),
        "softmax apart": keras.Model(
            inputs, keras.layers.Softmax()(linear(top)(backbone(inputs)))
        ),
        "softmax by an operation": keras.Model(
            inputs, keras.ops.softmax(linear(top)(backbone(inputs)))
        ),
        "cast": keras.Model(
            inputs,
            keras.layers.Activation("linear", dtype="float32")(top(backbone(inputs))),
        ),
    }
    return made


def linear(dense):
    """The layer's weights in a layer without an activation."""
    other = keras.layers.Dense(dense.units)
    other.build((None, dense.kernel.shape[0]))
    other.set_weights(dense.get_weights())
    return other


def test_models_inside_of_models_are_explained_as_the_model_itself_is():
    model, images = small("v1"), random_images()
    cam, slopes = saliency.explain(model, images, [1, 3])
    for name, made in wrapped(model).items():
        again, steep = saliency.explain(made, images, [1, 3])
        # The same numbers by the same kernels.
        np.testing.assert_allclose(again, cam, rtol=1e-4, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(steep, slopes, rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_single_output_speaks_for_the_second_class_and_against_the_first():
    inputs = keras.Input((6, 8, 3))
    maps = keras.layers.Conv2D(5, 1, use_bias=False)
    x = keras.layers.GlobalAveragePooling2D()(maps(inputs))
    head = keras.layers.Dense(1, "sigmoid")
    model = keras.Model(inputs, head(x))
    images = RANDOM.normal(size=(1, 6, 8, 3)).astype("float32")
    effect = maps.kernel.numpy()[0, 0] @ head.kernel.numpy()[:, 0] / 48
    for number, sign in ((0, -1), (1, 1)):
        _, slopes = saliency.explain(model, images, [number])
        # A dozen float32 operations on numbers of size 0.01.
        np.testing.assert_allclose(slopes[0, 0, 0], sign * effect, atol=1e-7)


@pytest.mark.slow
def test_the_network_of_keras_applications_is_explained_at_its_last_large_map():
    model = keras.applications.ConvNeXtTiny(
        weights=None, input_shape=(64, 64, 3), classes=4
    )
    cam, slopes = saliency.explain(model, random_images(1, 64, 64))
    # Of 64 pixels the third stage has 4 positions a side, the fourth 2.
    assert cam.shape == (1, 4, 4)
    assert np.abs(slopes).max() > 0


class Hidden(keras.layers.Layer):
    """A layer that does not show what it consists of."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        return super().get_config() | {"inner": None}


def quantized():
    model = small("v1")
    with warnings.catch_warnings():
        # Keras names every layer that it leaves as it is.
        warnings.simplefilter("ignore")
        model.quantize("int8")
    return model


def two_outputs():
    model = small("v1")
    return keras.Model(model.input, [model.output, model.layers[-1].input])


def of_bytes():
    inputs = keras.Input((64, 32, 3), dtype="uint8")
    return keras.Model(inputs, small("v1")(keras.ops.cast(inputs, "float32")))


def hidden():
    model = small("v1")
    backbone = keras.Model(model.input, model.get_layer("head_dense").input)
    inputs = keras.Input((64, 32, 3))
    return keras.Model(inputs, keras.layers.Dense(3)(Hidden(backbone)(inputs)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (quantized, "is quantized"),
        (hidden, "shows no maps"),
        (two_outputs, "has 2 outputs"),
        (of_bytes, "takes uint8 images"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_one_line(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        saliency.make_explain(make())
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    model = build(SMALL["v1"], input_shape=(32, 32, 3), classes=2)
    model.save(folder / "model.keras")
    (folder / "labels.txt").write_text("cat\ndog\n")
    fields = {"size_px": 32, "mean": [0, 0, 0], "std": [1, 1, 1]}
    (folder / "preprocessing.json").write_text(json.dumps(fields))
    return folder


def test_the_command_draws_every_image_that_can_be_read(saved, tmp_path, capfd):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "b"):
        Image.fromarray(random_images(1, 40, 40)[0].astype(np.uint8)).save(
            folder / f"{name}.png"
        )
    (folder / "bad.png").write_text("none")
    arguments = [f"--model={saved}", f"--out={tmp_path / 'seen'}", "--class=dog"]
    assert explain_main.main(["explain", *arguments, str(folder)]) == 0
    stdout, stderr = capfd.readouterr()
    assert len(stdout.splitlines()) == 2
    assert len(stderr.splitlines()) == 1
    drawn = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert drawn == ["01_a.png", "02_b.png"]
    for name in drawn:
        with Image.open(tmp_path / "seen" / name) as image:
            assert image.width > 2 * image.height


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--class=bird", "a.png"], "--class=bird is none of the model's 2 classes"),
        (["--out=", "a.png"], "--out must be given"),
        ([], "no image was named"),
    ],
)
def test_mistakes_are_one_line(saved, tmp_path, capfd, arguments, words):
    flags = [f"--model={saved}", f"--out={tmp_path / 'seen'}"]
    assert explain_main.main(["explain", *flags, *arguments]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "seen").exists()


def test_a_file_without_gradients_is_refused(tmp_path, capfd):
    module = tf.Module()
    signature = tf.TensorSpec((None, 8, 8, 3), name="tensors")
    module.answer = tf.function(
        lambda tensors: {"probabilities": tensors[:, 0, 0, :2]},
        input_signature=[signature],
    )
    signatures = {"tensors": module.answer}
    tf.saved_model.save(module, str(tmp_path / "saved" / "1"), signatures=signatures)
    flags = [f"--model={tmp_path / 'saved'}", f"--out={tmp_path / 'seen'}", "a.png"]
    assert explain_main.main(["explain", *flags]) == 2
    assert "is a saved_model file, which has no gradients" in capfd.readouterr().err
