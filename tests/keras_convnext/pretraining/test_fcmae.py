"""FCMAE against a NumPy reference of single positions, closed forms, and itself."""

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import keras_convnext
from keras_convnext import optimizers
from keras_convnext.pretraining import (
    FCMAE,
    count_visible,
    draw_orders,
    masked_encoder,
)
from keras_convnext.pretraining.visible_maps import DenseMap, GatheredMap
from keras_convnext.variants import find_variant
from tests.checks import check_keras_file, random_images, run_python
from tests.keras_convnext.pretraining import sparse_encoder
from tests.keras_convnext.weights.meta_names import meta_name

ATTO = find_variant("convnextv2_atto")
SHAPE = (96, 128, 3)
GRID = (3, 4)
FORMS = {"dense": False, "gathered": True}
MAPS = {"dense": DenseMap, "gathered": GatheredMap}


def draw_weights(model, seed=5):
    """Gives every variable numbers that count and keep activations near 1."""
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        shape = variable.shape
        if variable.name in ("gamma", "beta"):
            variable.assign(random.uniform(0.5, 1.5, shape))
        elif len(shape) > 1:
            fan_in = np.prod(shape) / max(shape[-2:])
            variable.assign(random.normal(0, fan_in**-0.5, shape))
        else:
            variable.assign(random.normal(0, 0.2, shape))
    return model


@pytest.fixture(scope="module")
def models():
    return {
        name: draw_weights(FCMAE(input_shape=SHAPE, is_gathered=gathered, seed=0))
        for name, gathered in FORMS.items()
    }


@pytest.fixture(scope="module")
def images():
    return random_images(2, *SHAPE[:2])


@pytest.fixture(scope="module")
def order():
    random = np.random.default_rng(3)
    return np.stack([random.permutation(12) for _ in range(2)]).astype("int32")


@pytest.fixture(scope="module")
def reference(models, images, order):
    """Features, predictions and loss of each image, one position at a time."""
    weights = {
        variable.path.removeprefix("fcmae_convnextv2_atto/"): (
            np.asarray(variable, "float64")
        )
        for variable in models["dense"].trainable_variables
    }
    found = []
    for image, numbers in zip(images, order, strict=True):
        visible = {divmod(int(number), GRID[1]) for number in numbers[:4]}
        image = sparse_encoder.normalize(image)
        features = sparse_encoder.encode(image, visible, ATTO.depths, weights)
        predictions = sparse_encoder.decode(features, GRID, weights)
        loss = sparse_encoder.loss(image, predictions, visible)
        found.append((features, predictions, loss))
    return found


def encode(model, images, order, form, visible=4, grid=GRID):
    """Returns the visible patches' features, `(batch, visible, channels)`."""

    def make_map(side):
        return MAPS[form].at(tf.constant(order), visible, grid, side)

    normalized = model.encoder.get_layer("input_normalization")(images)
    x = masked_encoder.encode(model.encoder, ATTO, normalized, make_map)
    patches = np.asarray(make_map(1).spread(x)).reshape(len(images), -1, x.shape[-1])
    return np.take_along_axis(patches, order[:, :visible, None], axis=1)


@pytest.mark.parametrize("form", FORMS)
def test_the_encoder_agrees_with_numpy_position_by_position(
    models, images, order, reference, form
):
    found = encode(models[form], images, order, form)
    expected = [
        [features[divmod(int(n), GRID[1])] for n in numbers[:4]]
        for (features, _, _), numbers in zip(reference, order, strict=True)
    ]
    scale = np.abs(expected).max()
    assert scale > 1
    # Twelve blocks in float32 against float64.
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_predictions_and_loss_agree_with_numpy(models, images, order, reference, form):
    outputs = models[form]({"image": images, "order": order})
    expected = np.array(
        [
            [predictions[divmod(int(n), GRID[1])] for n in numbers[4:]]
            for (_, predictions, _), numbers in zip(reference, order, strict=True)
        ]
    )
    scale = np.abs(expected).max()
    # Thirteen blocks in float32 against float64.
    np.testing.assert_allclose(
        outputs["predictions"] / scale, expected / scale, atol=1e-5
    )
    losses = [loss for _, _, loss in reference]
    np.testing.assert_allclose(outputs["loss"], losses, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_masked_pixels_do_not_move_visible_features(models, images, order, form):
    is_masked = np.ones((2, 12), bool)
    np.put_along_axis(is_masked, order[:, :4].astype(int), False, axis=1)
    mask = np.kron(is_masked.reshape(2, *GRID), np.ones((1, 32, 32)))[..., None]
    other = np.where(mask > 0, random_images(2, *SHAPE[:2], seed=9), images)
    assert np.abs(other - images).max() > 100
    found, moved = (encode(models[form], each, order, form) for each in (images, other))
    np.testing.assert_array_equal(found, moved)
    # And a visible pixel moves them: the test can fail.
    seen = encode(models[form], images + 1.0 - mask, order, form)
    assert np.abs(seen - found).max() > 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_with_all_patches_visible_it_is_the_plain_network(models, images, form):
    order = np.tile(np.arange(12, dtype="int32"), (2, 1))
    found = encode(models[form], images, order, form, visible=12)
    plain = np.asarray(models[form].encoder(images)).reshape(2, 12, -1)
    # The same operations on other shapes: sums in another order.
    np.testing.assert_allclose(found, plain, atol=1e-5 * np.abs(plain).max())


@pytest.mark.parametrize(
    "training", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_both_forms_have_the_same_gradients(models, images, order, training):
    gradients = []
    for model in models.values():
        with tf.GradientTape() as tape:
            outputs = model({"image": images, "order": order}, training=training)
            loss = tf.reduce_mean(outputs["loss"])
        variables = [variable.value for variable in model.trainable_variables]
        gradients.append(tape.gradient(loss, variables))
    dense, gathered = models.values()
    assert [v.path for v in dense.weights] == [v.path for v in gathered.weights]
    for one, other in zip(*gradients, strict=True):
        # Sums of up to 10,000 products in float32, in another order.
        scale = np.abs(one).max()
        assert scale > 0
        np.testing.assert_allclose(other / scale, one / scale, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_an_image_is_encoded_alike_in_every_batch(models, images, order, form):
    # One image much brighter: norms over the whole batch would show it.
    pair = images * np.array([0.2, 1.0], "float32").reshape(2, 1, 1, 1)
    together = encode(models[form], pair, order, form)
    for number in range(2):
        rows = slice(number, number + 1)
        alone = encode(models[form], pair[rows], order[rows], form)
        np.testing.assert_allclose(together[rows], alone, rtol=1e-4, atol=1e-4)


def test_as_many_patches_are_visible_as_published():
    assert count_visible(49, 0.6) == 19
    # 1 - 0.9 is a little less than a tenth.
    assert count_visible(10, 0.9) == 1
    model = FCMAE(input_shape=(64, 64, 3), mask_ratio=0.5)
    assert (model.patches, model.visible_patches, model.patch_px) == (4, 2, 32)


def test_a_model_draws_other_masks_at_each_call_and_the_same_after_the_same_seed():
    images = random_images(2, 64)
    losses = []
    for _ in range(2):
        model = FCMAE(input_shape=(64, 64, 3), mask_ratio=0.5, seed=4)
        losses.append([np.asarray(model(images)["loss"]) for _ in range(3)])
    np.testing.assert_array_equal(*losses)
    assert len({float(loss.sum()) for loss in losses[0]}) > 1


def test_kernels_begin_with_the_papers_deviation():
    model = FCMAE(seed=2)
    kernels = [v for v in model.trainable_variables if len(v.shape) > 1]
    assert len(kernels) == 1 + 3 + 3 * 12 + 3 + 2
    for variable in (*kernels, model.mask_token):
        count = np.prod(variable.shape)
        # A sample's deviation is off by 1 / sqrt(2 n) of itself; five of these.
        np.testing.assert_allclose(
            np.std(variable), 0.02, rtol=5 / np.sqrt(2 * count) + 0.001
        )


def test_weight_decay_leaves_out_biases_norms_grn_and_the_token():
    groups = optimizers.parameter_groups(FCMAE(input_shape=(64, 64, 3)))
    decayed = {path for path, group in groups.items() if group.decays}
    assert decayed == {path for path in groups if path.endswith("/kernel")}


@pytest.mark.slow
def test_fit_learns_from_images_alone():
    # Every patch is the same ramp: what is visible says what is masked.
    ramp = np.tile(np.linspace(0, 255, 32, dtype="float32"), 2)
    images = np.broadcast_to(ramp[None, None, :, None], (8, 64, 64, 3)).copy()
    model = FCMAE(input_shape=(64, 64, 3), mask_ratio=0.5, decoder_width=64, seed=0)
    model.compile(keras.optimizers.AdamW(1e-3))
    losses = model.fit(images, epochs=8, batch_size=4, verbose=0).history["loss"]
    # Predicting nothing is 3071 / 3072.
    assert losses[0] < 1.2
    assert losses[-1] < 0.5


def test_it_comes_back_from_its_file(tmp_path):
    model = draw_weights(
        FCMAE(input_shape=(16, 32, 3), patch_size=1, mask_ratio=0.7, decoder_width=16)
    )
    assert (model.patches, model.patch_px, model.visible_patches) == (8, 8, 2)
    order = np.asarray(draw_orders(2, 8, seed=0))
    inputs = {"image": random_images(2, 16, 32), "order": order}
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for name, value in model(inputs).items():
        np.testing.assert_array_equal(again(inputs)[name], value)
    assert again.get_config() == model.get_config()


def test_the_encoder_shares_its_weights_and_is_a_network_of_its_own(tmp_path):
    model = draw_weights(FCMAE(input_shape=(64, 64, 3)))
    check_keras_file(model.encoder, random_images(2, 64), tmp_path)
    path = tmp_path / "encoder.keras"
    model.encoder.save(path)
    with pytest.warns(UserWarning, match="no last norm"):
        classifier = keras_convnext.create(
            "convnextv2_atto", weights=str(path), classes=5, input_shape=(64, 64, 3)
        )
    images = random_images(2, 64)
    inside = keras.Model(
        classifier.input, classifier.get_layer("stage3_block1_add").output
    )
    np.testing.assert_allclose(inside(images), model.encoder(images), rtol=1e-6)
    shared = model.encoder.get_layer("stage3_block1_grn").gamma
    assert any(variable is shared for variable in model.trainable_variables)


def test_metas_fcmae_file_is_what_the_encoder_starts_from(tmp_path):
    donor = draw_weights(FCMAE(input_shape=(64, 64, 3)), seed=8)
    keras_convnext.save_weights_as(donor.encoder, tmp_path / "a.safetensors", "timm")
    tensors = {
        meta_name(name): tensor
        for name, tensor in safetensors.numpy.load_file(
            tmp_path / "a.safetensors"
        ).items()
    }
    # Sorted names, no norm, no head, two-dimensional GRN.
    tensors = {
        name: tensor.reshape(1, -1) if ".grn." in name else tensor
        for name, tensor in sorted(tensors.items())
    }
    assert "stages.0.0.grn.gamma" in tensors
    path = tmp_path / "convnextv2_atto_1k_224_fcmae.safetensors"
    safetensors.numpy.save_file(tensors, path)
    model = FCMAE(input_shape=(64, 64, 3), weights=str(path))
    images = random_images(2, 64)
    np.testing.assert_array_equal(model.encoder(images), donor.encoder(images))
    # Into a model that is there, too.
    other = FCMAE(input_shape=(64, 64, 3))
    keras_convnext.load_weights(other.encoder, path)
    np.testing.assert_array_equal(other.encoder(images), donor.encoder(images))


@pytest.mark.parametrize(
    "policy",
    ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)],
)
def test_in_16_bits_pixels_and_loss_stay_in_float32(policy):
    model = FCMAE(input_shape=(64, 64, 3), mask_ratio=0.5, dtype=policy, seed=0)
    plain = FCMAE(input_shape=(64, 64, 3), mask_ratio=0.5, seed=0)
    inputs = {"image": random_images(2, 64), "order": draw_orders(2, 4, seed=0)}
    with tf.GradientTape() as tape:
        outputs = model(inputs)
        loss = tf.reduce_mean(outputs["loss"])
    variables = [variable.value for variable in model.trainable_variables]
    assert all(np.isfinite(g).all() for g in tape.gradient(loss, variables))
    assert outputs["loss"].dtype == outputs["predictions"].dtype == tf.float32
    # Predictions are near 0 at first: the loss is the targets', which are not rounded.
    np.testing.assert_allclose(outputs["loss"], plain(inputs)["loss"], rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"input_shape": (100, 64, 3)}, "multiples of 32, and they are 100 and 64"),
        ({"mask_ratio": 1.0}, "mask_ratio=1.0 of 49 patches leaves 0 visible"),
        ({"input_shape": (32, 32, 3)}, "at least one is to be visible and one masked"),
        ({"backbone": "convnext_tiny_hnf", "mask_ratio": 0.6}, None),
        ({"backbone": "convnext_atto_ols"}, "whose kernels do not overlap"),
        ({"backbone": "resnet50"}, "resnet50"),
    ],
)
def test_what_cannot_be_masked_is_refused_in_one_line(arguments, words):
    if words is None:
        FCMAE(**arguments)
        return
    with pytest.raises(ValueError, match=words) as caught:
        FCMAE(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_jax_computes_the_same_loss_and_gradient():
    code = """
    import json
    import keras, numpy as np
    from keras_convnext.pretraining import FCMAE
    model = FCMAE(input_shape=(64, 96, 3), seed=0)
    random = np.random.default_rng(0)
    for v in model.trainable_variables:
        v.assign(random.normal(size=v.shape) * 0.05 + ("gamma" in v.path))
    images = random.uniform(0, 255, (2, 64, 96, 3)).astype("float32")
    order = np.stack([random.permutation(6) for _ in range(2)]).astype("int32")
    inputs = {"image": images, "order": order}
    is_jax = keras.backend.backend() == "jax"
    model.compile(keras.optimizers.SGD(0.01), jit_compile=is_jax)
    losses = model.predict_on_batch(inputs)["loss"].tolist()
    before = np.asarray(model.trainable_variables[0])
    model.train_on_batch(inputs)
    moved = np.asarray(model.trainable_variables[0]) - before
    print(json.dumps({"losses": losses, "moved": moved.ravel()[:50].tolist()}))
    """
    ours, theirs = (
        run_python(code, KERAS_BACKEND=backend) for backend in ("tensorflow", "jax")
    )
    np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=1e-5)
    # Sums of some thousand products in float32, in another order.
    scale = np.abs(ours["moved"]).max()
    np.testing.assert_allclose(ours["moved"], theirs["moved"], atol=1e-3 * scale)
