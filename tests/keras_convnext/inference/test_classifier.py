"""Models of every kind asked from Python: the scores are those that Keras gives."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import keras_convnext
from tests.keras_convnext.inference.colors import (
    COLORS,
    IMAGES,
    LOGITS,
    NAMES,
    SIDE_PX,
    mean_colors,
    scores_of,
    sigmoid,
    softmax,
    write,
)


def test_a_path_an_array_and_several_of_each_are_answered_alike(tmp_path):
    model = keras_convnext.load(write(tmp_path, mean_colors(np.eye(3), "softmax")))
    paths = [tmp_path / f"{name}.png" for name in NAMES]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)
    expected = softmax(LOGITS)
    for given in (paths, list(map(str, paths)), IMAGES, IMAGES.astype("float64")):
        # float32's exponentials.
        np.testing.assert_allclose(scores_of(model, given), expected, rtol=1e-5)
    np.testing.assert_allclose(
        scores_of(model, [Image.fromarray(image) for image in IMAGES]), expected, 1e-5
    )
    [(name, score)] = model(str(paths[2]), top=1)
    assert (name, score) == ("blue", pytest.approx(expected[2, 2], rel=1e-5))
    assert model(IMAGES[1])[0][0] == "green"
    assert model([]) == []


def test_an_array_is_resized_and_cropped_as_a_file_is(tmp_path):
    model = keras_convnext.load(write(tmp_path, mean_colors(np.eye(3), "softmax")))
    wide = np.zeros((SIDE_PX, 3 * SIDE_PX, 3), np.uint8)
    wide[:, SIDE_PX : 2 * SIDE_PX] = COLORS[1]
    # The middle is all that a central crop leaves.
    [(name, score), *_] = model(wide)
    assert (name, score) == ("green", pytest.approx(softmax(LOGITS)[1, 1], rel=1e-5))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4)), r"\(height, width, 3\), not \(4, 4\)"),
        (np.zeros((4, 4, 1)), r"not \(4, 4, 1\)"),
        (np.zeros((4, 4, 4), np.uint8), r"not \(4, 4, 4\)"),
        (np.full((4, 4, 3), 0.5), "multiply them by 255"),
        (np.full((4, 4, 3), -1.0), "these in -1..-1"),
        (np.full((4, 4, 3), 4000, np.uint16), "these in 4000..4000"),
        (np.full((4, 4, 3), np.nan), "these in nan..nan"),
        (np.full((4, 4, 3), "a"), "an array of numbers"),
    ],
)
def test_an_array_that_is_no_image_is_refused(tmp_path, image, words):
    model = keras_convnext.load(write(tmp_path, mean_colors(np.eye(3), "softmax")))
    with pytest.raises(ValueError, match=words):
        model([image])


def test_files_that_are_not_there_or_no_images_are_refused(tmp_path):
    model = keras_convnext.load(write(tmp_path, mean_colors(np.eye(3), "softmax")))
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.png"):
        model(tmp_path / "none.png")
    with pytest.raises(ValueError, match=r"labels\.txt: not an image"):
        model(tmp_path / "labels.txt")


@pytest.mark.parametrize(
    ("make", "how", "expected"),
    [
        (lambda: mean_colors(np.eye(3), "softmax"), {}, softmax(LOGITS)),
        (
            lambda: mean_colors(np.eye(3)),
            {"output": "logits"},
            softmax(LOGITS),
        ),
        (lambda: mean_colors(np.eye(3), "sigmoid"), {}, sigmoid(LOGITS)),
        (lambda: mean_colors(np.eye(3)), {"output": "sigmoid"}, sigmoid(LOGITS)),
        (
            lambda: mean_colors(np.eye(3), finish=keras.ops.softmax),
            {},
            softmax(LOGITS),
        ),
        (
            lambda: keras.Sequential([mean_colors(np.eye(3)), keras.layers.Softmax()]),
            {},
            softmax(LOGITS),
        ),
    ],
    ids=["softmax", "logits", "sigmoids", "labels' logits", "operation", "Sequential"],
)
def test_scores_are_what_the_outputs_mean(tmp_path, make, how, expected):
    model = keras_convnext.load(write(tmp_path, make()), **how)
    np.testing.assert_allclose(scores_of(model), expected, rtol=1e-5)
    # Nor does a score hang on what else is asked.
    np.testing.assert_allclose(scores_of(model, IMAGES[1:2]), expected[1:2], rtol=1e-5)
    assert model.is_exclusive == np.allclose(expected.sum(-1), 1)


def test_an_input_with_a_name_is_given_by_it(tmp_path, recwarn):
    made = mean_colors(np.eye(3), "softmax")
    inputs = keras.Input((SIDE_PX, SIDE_PX, 3), name="image")
    named = keras.Model({"image": inputs}, made(inputs))
    model = keras_convnext.load(write(tmp_path, named))
    np.testing.assert_allclose(scores_of(model), softmax(LOGITS), rtol=1e-5)
    assert [str(each.message) for each in recwarn if "structure" in str(each)] == []


def test_labels_trained_by_binary_cross_entropy_need_no_word(tmp_path):
    made = mean_colors(np.eye(3))
    made.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    model = keras_convnext.load(write(tmp_path, made))
    np.testing.assert_allclose(scores_of(model), sigmoid(LOGITS), rtol=1e-5)


@pytest.mark.parametrize("labels", [("cat", "dog"), ("dog",), ()])
@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_output_is_the_probability_of_the_second_class(
    tmp_path, labels, activation
):
    made = mean_colors([[1.0], [0.0], [-1.0]], activation)
    if activation is None:
        made.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    model = keras_convnext.load(write(tmp_path, made, labels))
    second = sigmoid(np.array([[5.0], [0.0], [-5.0]]))
    expected = second if len(labels) == 1 else np.hstack([1 - second, second])
    assert model.labels == (labels or ("class 0", "class 1"))
    np.testing.assert_allclose(scores_of(model), expected, rtol=1e-4)


def test_half_precision_answers_in_float32(tmp_path):
    made = mean_colors(np.eye(3), "softmax", dtype="mixed_float16")
    model = keras_convnext.load(write(tmp_path, made))
    found = scores_of(model)
    # Half precision has eleven binary digits.
    np.testing.assert_allclose(found, softmax(LOGITS), rtol=2**-8)


# By hand, of 255 and of 0: ImageNet's first channel has mean 0.485, deviation 0.229.
NORMALIZED = {
    "unit": (1.0, 0.0),
    "symmetric": (1.0, -1.0),
    "none": (255.0, 0.0),
}


@pytest.mark.parametrize("normalization", NORMALIZED)
def test_images_are_normalized_as_told_where_the_model_does_not(
    tmp_path, normalization
):
    made = mean_colors(np.eye(3) / 51, "softmax", scale=None)
    folder = write(tmp_path, made, preprocessing=False)
    with pytest.raises(ValueError, match="say --normalization=imagenet"):
        keras_convnext.load(folder)
    model = keras_convnext.load(folder, normalization=normalization)
    high, low = NORMALIZED[normalization]
    logits = (low + (high - low) * np.eye(3)) / 51
    np.testing.assert_allclose(scores_of(model), softmax(logits), rtol=1e-4)


def test_a_preprocessing_beside_the_model_normalizes_too(tmp_path):
    folder = write(tmp_path, mean_colors(np.eye(3), "softmax", scale=None))
    record = {"mean": [0.5, 0.25, 0.0], "std": [0.5, 0.25, 1.0]}
    (folder / "preprocessing.json").write_text(json.dumps(record))
    low, high = np.array([-1.0, -1.0, 0.0]), np.array([1.0, 3.0, 1.0])
    logits = np.where(np.eye(3) > 0, high, low)
    model = keras_convnext.load(folder)
    np.testing.assert_allclose(scores_of(model), softmax(logits), rtol=1e-4)


def test_a_model_that_normalizes_is_not_normalized_again(tmp_path):
    folder = write(tmp_path, mean_colors(np.eye(3), "softmax"))
    with pytest.raises(ValueError, match="normalizes images by itself"):
        keras_convnext.load(folder, normalization="imagenet")
    model = keras_convnext.load(folder, normalization="none")
    np.testing.assert_allclose(scores_of(model), softmax(LOGITS), rtol=1e-5)


def test_images_of_anybodys_model_are_squashed_as_keras_loads_them(tmp_path):
    folder = write(tmp_path, mean_colors(np.eye(3), "softmax"), preprocessing=False)
    model = keras_convnext.load(folder)
    assert model.preprocessing.crop_mode == "squash"
    [notice] = model.notices
    assert "no preprocessing.json" in notice
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    (tmp_path / "data" / "one").mkdir(parents=True)
    Image.fromarray(noise).save(tmp_path / "data" / "one" / "noise.png")
    loaded = keras.utils.image_dataset_from_directory(
        tmp_path / "data", labels=None, image_size=(SIDE_PX, SIDE_PX), verbose=False
    )
    [[image]] = list(loaded.as_numpy_iterator())
    logits = image.mean((0, 1)) / 51
    # Ours are whole numbers: their mean may be off by half, which is 0.01 of a logit.
    expected = softmax(logits)
    found = scores_of(model, [tmp_path / "data" / "one" / "noise.png"])
    np.testing.assert_allclose(found, [expected], rtol=0.01)


def test_classifiers_of_imagenet_are_cropped_as_published(tmp_path):
    made = keras_convnext.create(
        "test_convnext2", weights=None, input_shape=(32, 32, 3), classes=1000
    )
    model = keras_convnext.load(write(tmp_path, made, (), preprocessing=False))
    assert model.preprocessing.crop_mode == "center"
    assert model.preprocessing.crop_fraction == 0.875
    assert "no preprocessing.json" in model.notices[1]


def two_outputs():
    made = mean_colors(np.eye(3), "softmax")
    other = keras.layers.Dense(2, name="other")(made.layers[-2].output)
    return keras.Model(made.input, [made.output, other])


def dictionary():
    made = mean_colors(np.eye(3), "softmax")
    other = keras.layers.Dense(2, name="other")(made.layers[-2].output)
    return keras.Model(made.input, {"kind": made.output, "other": other})


def two_inputs():
    made, more = mean_colors(np.eye(3), "softmax"), keras.Input((3,), name="place")
    return keras.Model([made.input, more], keras.layers.Add()([made.output, more]))


def of_shape(*shape):
    inputs = keras.Input(shape)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, "softmax")(x))


REFUSED = {
    "two outputs": (two_outputs, "it has 2 outputs"),
    "a dictionary": (dictionary, "it has 2 outputs"),
    "two inputs": (two_inputs, "it has 2 inputs"),
    "not square": (lambda: of_shape(16, 32, 3), "16 x 32 pixels, not a square"),
    "gray": (lambda: of_shape(16, 16, 1), "(None, 16, 16, 1), not (batch, height"),
    "four channels": (lambda: of_shape(16, 16, 4), "(None, 16, 16, 4), not"),
    "open": (lambda: mean_colors(np.eye(3)), "--output"),
    "softmax of one": (lambda: mean_colors([[1.0]] * 3, "softmax"), "over one output"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_that_cannot_be_asked_is_refused_in_one_line(tmp_path, kind):
    make, words = REFUSED[kind]
    with pytest.raises(ValueError, match=r"model\.keras cannot be used: ") as caught:
        keras_convnext.load(write(tmp_path, make(), ()))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_stand_for_no_model_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is nothing at nowhere"):
        keras_convnext.load("nowhere")
    with pytest.raises(ValueError, match="is none of them"):
        keras_convnext.load(tmp_path)
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(ValueError, match="has not finished"):
        keras_convnext.load(tmp_path)
    (tmp_path / "bad.keras").write_text("no model")
    with pytest.raises(ValueError, match=r"bad\.keras cannot be read as a model"):
        keras_convnext.load(tmp_path / "bad.keras")
    (tmp_path / "bad.tflite").write_text("no model")
    with pytest.raises(ValueError, match=r"bad\.tflite cannot be read as a model"):
        keras_convnext.load(tmp_path / "bad.tflite")


def test_a_published_checkpoint_answers_with_imagenets_names(monkeypatch):
    def untrained(name):
        assert name == "convnext_atto.d2_in1k"
        inputs = keras.Input((224, 224, 3))
        x = keras.layers.Rescaling(1 / 255)(inputs)
        x = keras.layers.GlobalAveragePooling2D()(x)
        classes = keras.layers.Dense(1000, "softmax", kernel_initializer="zeros")
        made = keras.Model(inputs, classes(x))
        bias = np.zeros(1000)
        bias[[0, 999]] = 8, 7
        made.layers[-1].set_weights([np.zeros((3, 1000)), bias])
        return made

    monkeypatch.setattr("keras_convnext.inference.loaded_model.create", untrained)
    model = keras_convnext.load("convnext_atto.d2_in1k")
    answers = model(IMAGES[0], top=2)
    # Source: the first and the last class of ILSVRC-2012, by WordNet id.
    assert [name for name, _ in answers] == ["tench", "toilet_tissue"]
    assert model.synsets[0] == "n01440764"


def test_features_are_no_classes(tmp_path):
    folder = write(tmp_path, mean_colors(np.eye(3)), ())
    with pytest.raises(ValueError, match="gives features, and no classes"):
        keras_convnext.load(folder, output="features")


def test_a_file_of_weights_answers_as_the_model_that_it_is_of(tmp_path):
    model = keras_convnext.ConvNeXtAtto(weights=None, classes=3, head_init_scale=40.0)
    file = tmp_path / "convnext_atto.mine.safetensors"
    keras_convnext.save_weights_as(model, file, "timm")
    (tmp_path / "labels.txt").write_text("ant\nbee\ncow\n")
    # As large as the input, so that nothing is resized.
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    [expected] = np.asarray(model(image[None].astype("float32")))
    told = dict(keras_convnext.load(file)(image))
    # Two orders of summation of the same float32 numbers.
    np.testing.assert_allclose(
        [told[n] for n in ("ant", "bee", "cow")], expected, atol=1e-5
    )


def test_a_file_of_weights_without_a_classifier_is_refused_in_a_line(tmp_path):
    backbone = keras_convnext.ConvNeXtAtto(False, weights=None)
    file = tmp_path / "backbone.safetensors"
    keras_convnext.save_weights_as(backbone, file, "timm")
    with pytest.raises(ValueError, match="convnext_atto without a classifier"):
        keras_convnext.load(file)


def test_without_a_network_a_checkpoint_says_what_to_fetch_and_how(monkeypatch):
    def offline(record):
        raise OSError("no network.")

    monkeypatch.setattr("keras_convnext.inference.loaded_model.create", offline)
    with pytest.raises(
        OSError, match=r"curl -L -o convnext_tiny\.fb_in1k\S+ \S+"
    ) as error:
        keras_convnext.load("convnext_tiny.fb_in1k")
    assert "--model=convnext_tiny.fb_in1k" in str(error.value)
