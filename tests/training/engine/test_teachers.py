"""Which models teach features, what they give, how they see, and what is refused."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_convnext
from keras_convnext._messages import UsageError
from tests.training.tasks import whole_runs
from training.engine import feature_teacher, hub_teacher, teacher
from training.recipes import resolve

SIZE_PX = 32
RECIPE = resolve("distill_small", [f"size_px={SIZE_PX}"])
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.5)


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, SIZE_PX, SIZE_PX, 3))


def ask(named, images):
    """Returns what a teacher gives to a student's images."""
    recipe = dataclasses.replace(RECIPE, teacher=str(named))
    teacher.check(recipe)
    loaded = teacher.load(recipe, None)
    assert not loaded.trainable_variables
    return np.asarray(loaded(images.astype("float32")))


def network(*layers):
    """A network whose features are pixels in 0 to 1 by a matrix."""
    keras.utils.set_random_seed(3)
    first = [keras.layers.Input((SIZE_PX, SIZE_PX, 3)), keras.layers.Rescaling(1 / 255)]
    middle = [keras.layers.Flatten(), keras.layers.Dense(6, name="features")]
    return keras.Sequential([*first, *middle, *layers])


@pytest.mark.parametrize(
    "layers",
    [
        [],
        [keras.layers.Dense(4, activation="softmax")],
        [keras.layers.Dropout(0.5), keras.layers.Dense(1, activation="sigmoid")],
    ],
    ids=["alone", "below a softmax", "below dropout and a sigmoid"],
)
def test_features_are_what_the_classifier_reads(layers, images, tmp_path):
    model = network(*layers)
    model.save(tmp_path / "model.keras")
    kernel, bias = model.get_layer("features").get_weights()
    expected = np.reshape(images / 255, (3, -1)) @ kernel + bias
    for named in (tmp_path, tmp_path / "model.keras"):
        np.testing.assert_allclose(ask(named, images), expected, atol=1e-4)


def test_features_of_a_convnext_are_normalized_means(images, tmp_path):
    model = keras_convnext.create(
        "test_convnext2", classes=3, input_shape=(SIZE_PX, SIZE_PX, 3)
    )
    model.save(tmp_path / "model.keras")
    pooled = keras.Model(model.input, model.get_layer("head_dense").input)
    expected = pooled(images.astype("float32"))
    np.testing.assert_allclose(ask(tmp_path, images), expected, atol=1e-4)


def test_an_image_is_normalized_as_the_file_beside_the_network_says(images, tmp_path):
    inputs = keras.Input((SIZE_PX, SIZE_PX, 3))
    flat = keras.layers.Dense(6, name="features")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, flat)
    model.save(tmp_path / "model.keras")
    with pytest.raises(UsageError, match="does not normalize images: put mean and"):
        ask(tmp_path, images)
    record = {"mean": MEAN, "std": STD, "size_px": SIZE_PX}
    (tmp_path / "preprocessing.json").write_text(json.dumps(record))
    normalized = (images / 255 - MEAN) / STD
    kernel, bias = model.get_layer("features").get_weights()
    expected = np.reshape(normalized, (3, -1)) @ kernel + bias
    np.testing.assert_allclose(ask(tmp_path, images), expected, atol=1e-4)
    (tmp_path / "preprocessing.json").write_text(json.dumps({"size_px": SIZE_PX}))
    with pytest.raises(UsageError, match="mean and std are missing"):
        ask(tmp_path, images)


def test_maps_and_unknown_files_are_refused_in_a_line(images, tmp_path):
    inputs = keras.Input((SIZE_PX, SIZE_PX, 3))
    maps = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(inputs))
    keras.Model(inputs, maps).save(tmp_path / "model.keras")
    with pytest.raises(UsageError, match=r"features are \(batch, channels\)") as error:
        ask(tmp_path, images)
    assert "\n" not in str(error.value)
    (tmp_path / "broken.keras").write_bytes(b"no model")
    with pytest.raises(UsageError, match="cannot be read as a model"):
        ask(tmp_path / "broken.keras", images)
    with pytest.raises(ValueError, match="there is no teacher=nowhere"):
        ask("nowhere", images)


@pytest.mark.parametrize(
    "name", ["convnext_tiny.fb_in22k", "convnext_tiny.dinov3_lvd1689m"]
)
def test_published_networks_give_features_with_a_classifier_or_without(
    name, images, monkeypatch
):
    built = []

    def create(name, **options):
        options = {"input_shape": (SIZE_PX, SIZE_PX, 3), **options}
        built.append(
            keras_convnext.create("test_convnext2", weights=None, classes=7, **options)
        )
        return built[-1]

    for module in (feature_teacher, keras_convnext.inference.loaded_model):
        monkeypatch.setattr(module, "create", create)
    recipe = dataclasses.replace(RECIPE, teacher=name)
    teacher.check(recipe)
    found = teacher.load(recipe, None)(images.astype("float32"))
    [model] = built
    pooled = model.output
    if "head_dense" in {layer.name for layer in model.layers}:
        pooled = model.get_layer("head_dense").input
    expected = keras.Model(model.input, pooled)(images.astype("float32"))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    """A small DINOv3 with random weights as `save_to_preset` leaves it."""
    keras_hub = pytest.importorskip("keras_hub")
    folder = tmp_path_factory.mktemp("dino")
    keras.utils.set_random_seed(1)
    backbone = keras_hub.models.DINOV3Backbone(
        patch_size=16,
        num_layers=2,
        hidden_dim=32,
        num_heads=2,
        intermediate_dim=64,
        image_shape=(64, 64, 3),
    )
    backbone.save_to_preset(str(folder))
    return folder, backbone


def converter(**options):
    import keras_hub

    return keras_hub.layers.DINOV3ImageConverter(
        scale=[1 / 255 / each for each in STD],
        offset=[-mean / std for mean, std in zip(MEAN, STD, strict=True)],
        **options,
    )


def test_a_dinov3_gives_its_class_token_of_images_by_its_own_converter(
    dino, images, tmp_path
):
    folder, backbone = dino
    with pytest.raises(UsageError, match=r"`image_converter.json` doesn't exist"):
        ask(folder, images)
    for part in folder.iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    converter(image_size=(64, 64), antialias=True).save_to_preset(str(tmp_path))
    resized = tf.image.resize(images.astype("float32"), (64, 64))
    normalized = (resized / 255 - MEAN) / STD
    expected = backbone({"pixel_values": normalized})[:, 0]
    for named in (tmp_path, f"{hub_teacher.PREFIX}{tmp_path}"):
        np.testing.assert_allclose(ask(named, images), expected, atol=1e-3)
    assert np.std(expected, axis=0).max() > 0.01


def test_a_dinov3_in_a_keras_file_needs_its_normalization_beside_it(
    dino, images, tmp_path
):
    _, backbone = dino
    backbone.save(tmp_path / "model.keras")
    with pytest.raises(UsageError, match="put mean and std, on the scale 0 to 1"):
        ask(tmp_path, images)
    record = {"mean": MEAN, "std": STD, "size_px": 64, "interpolation": "bilinear"}
    (tmp_path / "preprocessing.json").write_text(json.dumps(record))
    resized = tf.image.resize(images.astype("float32"), (64, 64))
    expected = backbone({"pixel_values": (resized / 255 - MEAN) / STD})[:, 0]
    np.testing.assert_allclose(ask(tmp_path, images), expected, atol=1e-3)


def test_other_presets_are_refused_in_a_line(images, tmp_path, monkeypatch):
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
    )
    backbone.save_to_preset(str(tmp_path))
    keras_hub.layers.ResNetImageConverter().save_to_preset(str(tmp_path))
    with pytest.raises(UsageError, match="it is a ResNetBackbone, and of KerasHub's"):
        ask(tmp_path, images)
    with pytest.raises(UsageError, match="Unknown preset identifier") as error:
        ask("keras_hub:dinov4", images)
    assert "\n" not in str(error.value)
    logits = resolve("demo", [f"teacher={tmp_path}"])
    with pytest.raises(ValueError, match="a KerasHub preset teaches features"):
        teacher.check(logits)
    monkeypatch.setattr(hub_teacher, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs KerasHub: pip install"):
        ask("keras_hub:dinov3_vit_small_lvd1689m", images)


def small_classifier(size_px=24, classes=3, activation=None):
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.layers.Input((size_px, size_px, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, activation=activation),
        ]
    )


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_a_saved_model_gives_logits_by_its_usual_signature(
    activation, tiny_source, tmp_path
):
    model = small_classifier(activation=activation)
    model.export(tmp_path / "1", verbose=False)
    recipe = resolve("demo", [f"teacher={tmp_path}", "size_px=16"])
    teacher.check(recipe)
    with pytest.raises(UsageError, match="does not tell how it normalizes images"):
        teacher.load(recipe, tiny_source)
    record = {"mean": MEAN, "std": STD, "size_px": 24}
    (tmp_path / "preprocessing.json").write_text(json.dumps(record))
    images = tiny_source.training.images[:5].astype(np.float32)
    larger = tf.image.resize(images, (24, 24), "bicubic", antialias=True)
    normalized = (np.clip(larger, 0, 255) / 255 - MEAN) / STD
    kernel, bias = model.get_weights()
    expected = np.reshape(normalized, (5, -1)) @ kernel + bias
    found = np.asarray(teacher.load(recipe, tiny_source)(images))
    centered = [each - each.mean(1, keepdims=True) for each in (found, expected)]
    np.testing.assert_allclose(*centered, atol=1e-4)
    (tmp_path / "labels.txt").write_text("left\nright\nmiddle\n")
    with pytest.raises(UsageError, match="its class 1 is right, and that of the data"):
        teacher.load(recipe, tiny_source)
    features = dataclasses.replace(recipe, distillation="features")
    with pytest.raises(ValueError, match=r"is an exported file: give the \.keras file"):
        teacher.check(features)


def test_a_saved_model_of_this_project_normalizes_by_itself(tiny_source, tmp_path):
    model = small_classifier()

    @tf.function(input_signature=[tf.TensorSpec((None, 24, 24, 3), name="images")])
    def tensors(images):
        return {"probabilities": tf.nn.softmax(model(images / 255))}

    module = tf.Module()
    module.model, module.tensors = model, tensors
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"tensors": tensors})
    recipe = resolve("demo", [f"teacher={tmp_path}", "size_px=24"])
    images = np.random.default_rng(0).uniform(0, 255, (3, 24, 24, 3)).astype("float32")
    found = np.asarray(teacher.load(recipe, tiny_source)(images))
    expected = np.asarray(model(images / 255))
    centered = [each - each.mean(1, keepdims=True) for each in (found, expected)]
    np.testing.assert_allclose(*centered, atol=1e-4)


def test_a_saved_model_without_scores_is_refused_in_a_line(tiny_source, tmp_path):
    inputs = keras.Input((16, 16, 3))
    maps = keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs))
    maps.export(tmp_path / "1", verbose=False)
    recipe = resolve("demo", [f"teacher={tmp_path}", "size_px=16"])
    with pytest.raises(UsageError, match="no signature tensors or serving_default"):
        teacher.load(recipe, tiny_source)


def test_a_saved_model_of_one_image_at_a_time_is_refused(tiny_source, tmp_path):
    model = small_classifier()
    spec = tf.TensorSpec((1, 24, 24, 3), name="images")
    served = tf.function(lambda images: {"scores": model(images)}, [spec])
    module = tf.Module()
    module.model = model
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=served)
    recipe = resolve("demo", [f"teacher={tmp_path}"])
    with pytest.raises(UsageError, match=r"images float32\(1, 24, 24, 3\)"):
        teacher.load(recipe, tiny_source)


def test_a_saved_model_that_was_cut_short_is_refused_in_a_line(tiny_source, tmp_path):
    small_classifier().export(tmp_path / "1", verbose=False)
    (data,) = (tmp_path / "1" / "variables").glob("variables.data-*")
    data.write_bytes(data.read_bytes()[:10])
    recipe = resolve("demo", [f"teacher={tmp_path}"])
    with pytest.raises(UsageError, match="TensorFlow cannot read it: ") as raised:
        teacher.load(recipe, tiny_source)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["features", "logits"])
def test_a_run_on_a_strategy_learns_from_a_preset_or_a_saved_model(
    kind, dino, tiny_recipe, tiny_source, tmp_path, one_device
):
    named = tmp_path / "teacher"
    if kind == "features":
        shutil.copytree(dino[0], named)
        converter(image_size=(64, 64)).save_to_preset(str(named))
    else:
        model = small_classifier(size_px=16)
        model.export(named / "1", verbose=False)
        record = {"mean": MEAN, "std": STD, "size_px": 16}
        (named / "preprocessing.json").write_text(json.dumps(record))
    recipe = dataclasses.replace(
        tiny_recipe, teacher=str(named), distillation=kind, accumulation_steps=2
    )
    run, rows = whole_runs.train(recipe, tiny_source, tmp_path / "run", one_device)
    assert all(row["distillation_loss"] > 0 for row in rows)
    if kind == "features":
        assert not run.teacher_figures
        return
    kernel, bias = model.get_weights()
    pixels = (tiny_source.validation.images / 255 - MEAN) / STD
    answers = np.argmax(np.reshape(pixels, (len(pixels), -1)) @ kernel + bias, axis=1)
    share = np.mean(answers == tiny_source.validation.labels)
    assert run.teacher_figures["top1"] == pytest.approx(share)
