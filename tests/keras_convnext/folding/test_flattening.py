"""Flat models against the nested ones that they are made of.

The layers are the same and called in the same order: ten roundings of float32 are let
through for what a compiler orders otherwise.
"""

import inspect

import keras
import numpy as np
import pytest

from keras_convnext.folding import fold
from keras_convnext.folding._flattening import (
    IDLE_AT_INFERENCE,
    flatten,
    flatten_with_calls,
)
from keras_convnext.models import build
from tests.checks import random_images, tiny_variant

SHAPE = (32, 32, 3)
IMAGES = random_images(seed=1)
ROUNDING = 1e-6
WIDE = keras.initializers.RandomNormal(stddev=0.3, seed=2)


def small(include_top=False, **arguments):
    """A narrow backbone, one block a stage, whose blocks count."""
    variant = tiny_variant(depths=(1, 1, 1, 1), widths=(8, 8, 8, 8))
    given = {"input_shape": SHAPE, "pooling": "avg", "seed": 0, "classes": 3}
    given |= {"layer_scale_init_value": 0.5, "head_init_scale": 40.0}
    return build(variant, include_top, weights=None, **(given | arguments))


def dense(units=3, **arguments):
    return keras.layers.Dense(units, kernel_initializer=WIDE, **arguments)


def in_keras_guide():
    """As Keras' guide to transfer learning writes it."""
    inputs = keras.Input(SHAPE)
    base = small()
    base.trainable = False
    x = keras.layers.RandomFlip("horizontal")(inputs)
    x = base(x, training=False)
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(inputs, dense()(x))


def with_augmentation_in_front():
    augmentation = keras.Sequential(
        [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)]
    )
    inputs = keras.Input(SHAPE)
    x = keras.layers.RandAugment(value_range=(0, 255))(augmentation(inputs))
    return keras.Model(inputs, small(include_top=True)(x))


def two_deep():
    inner = keras.Sequential([keras.Input(SHAPE), small(), dense(5, name="hidden")])
    image = keras.Input(SHAPE)
    middle = keras.Model(image, keras.layers.ReLU()(inner(image)), name="middle")
    return keras.Sequential([keras.Input(SHAPE), middle, dense()])


def with_operations():
    image = keras.Input(SHAPE)
    x = small(include_preprocessing=False)(image / 127.5 - np.array([1.0, 0.9, 0.8]))
    return keras.Model(image, keras.ops.softmax(keras.ops.multiply(dense()(x), 2.0)))


def with_a_shared_layer():
    image = keras.Input(SHAPE)
    shared = dense(8, activation="tanh")
    return keras.Model(image, dense()(shared(shared(small()(image)))))


def siamese():
    one, other = keras.Input(SHAPE, name="one"), keras.Input(SHAPE, name="other")
    backbone = small()
    return keras.Model([one, other], backbone(one) - backbone(other))


def by_names():
    """A model inside that takes and gives several tensors, by name."""
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    sums = {"z_sum": left + right, "a_difference": left - right}
    inner = keras.Model({"left": left, "right": right}, sums, name="inner")
    image = keras.Input(SHAPE)
    x = small()(image)
    made = inner({"right": dense(4)(x), "left": dense(8)(x)[:, 4:]})
    return keras.Model(image, {"b": made["a_difference"], "a": made["z_sum"]})


def in_mixed_precision():
    image = keras.Input(SHAPE, dtype="uint8")
    x = small(dtype="mixed_bfloat16")(image)
    inner_in = keras.Input((8,), dtype="float32")
    inner = keras.Model(inner_in, dense(dtype="float32")(inner_in))
    return keras.Model(image, inner(keras.ops.cast(x, "bfloat16")))


FORMS = (
    in_keras_guide,
    with_augmentation_in_front,
    two_deep,
    with_operations,
    with_a_shared_layer,
    siamese,
    by_names,
    in_mixed_precision,
)


def answers(model):
    given = [
        np.roll(IMAGES, 3 * number, axis=1).astype(tensor.dtype)
        for number, tensor in enumerate(model.inputs)
    ]
    made = model(given if len(given) > 1 else given[0], training=False)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, made)


def assert_same_answers(model, flat):
    expected, found = answers(model), answers(flat)
    keras.tree.assert_same_structure(expected, found)
    for one, other in zip(
        keras.tree.flatten(expected), keras.tree.flatten(found), strict=True
    ):
        assert np.std(one) > 0
        np.testing.assert_allclose(other, one, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("form", FORMS)
def test_a_flat_model_answers_alike_with_the_same_variables(form):
    model = form()
    flat = flatten(model)
    assert not any(isinstance(layer, keras.Model) for layer in flat.layers)
    assert not any(type(layer) in IDLE_AT_INFERENCE for layer in flat.layers)
    assert_same_answers(model, flat)
    kept = {id(one) for one in model.weights if "seed" not in one.path}
    assert {id(variable) for variable in flat.weights} == kept


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.slow
def test_a_flat_model_is_saved_and_loaded(form, tmp_path):
    model = form()
    flatten(model).save(tmp_path / "flat.keras")
    loaded = keras.saving.load_model(tmp_path / "flat.keras")
    assert_same_answers(model, flatten(loaded))


def test_names_stay_and_those_of_models_go():
    model = in_keras_guide()
    names = [layer.name for layer in flatten(model).layers]
    inner = model.layers[2]
    assert names[0] == model.layers[0].name
    inside = [
        layer.name
        for layer in inner.layers[1:]
        if not layer.name.endswith("stochastic_depth")
    ]
    assert names[1:-1] == inside
    assert names[-1] == model.layers[-1].name


def test_calls_tell_the_flat_models_own_tensors():
    flat, calls = flatten_with_calls(in_keras_guide())
    by_name = {call.layer.name: call for call in calls}
    assert list(by_name) == [layer.name for layer in flat.layers[1:]]
    features = keras.Model(flat.input, by_name["head_norm"].outputs[0])
    last = calls[-1]
    assert last.inputs == by_name["head_norm"].outputs
    kernel, bias = last.layer.get_weights()
    expected = answers(features) @ kernel + bias
    np.testing.assert_allclose(answers(flat), expected, rtol=1e-5, atol=1e-5)


def test_a_taken_name_is_changed_where_there_are_no_weights():
    inner_in, outer_in = keras.Input((4,)), keras.Input((4,))
    inner = keras.Model(inner_in, keras.layers.ReLU(name="again")(dense(4)(inner_in)))
    scaled = keras.layers.Rescaling(2.0, name="again")(inner(outer_in))
    model = keras.Model(outer_in, scaled)
    flat = flatten(model)
    assert [layer.name for layer in flat.layers[-2:]] == ["again_1", "again"]
    x = np.float32([[1, 2, 3, 4]])
    np.testing.assert_array_equal(flat(x), model(x))


def test_a_model_with_weights_under_a_taken_name_stays_one_layer():
    inner_in, outer_in = keras.Input((4,)), keras.Input((4,))
    inner = keras.Model(inner_in, dense(4, name="head")(inner_in), name="inner")
    model = keras.Model(outer_in, dense(3, name="head")(inner(outer_in)))
    flat = flatten(model)
    assert [layer.name for layer in flat.layers[1:]] == ["inner", "head"]
    x = np.float32([[1, 2, 3, 4]])
    np.testing.assert_array_equal(flat(x), model(x))


def test_a_model_of_a_class_of_its_own_is_opened_only_where_its_code_is_kerass():
    class Named(keras.Model):
        pass

    class Doubled(keras.Model):
        def call(self, inputs):
            return 2 * super().call(inputs)

    for kind, opened in ((Named, True), (Doubled, False)):
        x, outer = keras.Input((4,)), keras.Input((4,))
        model = keras.Model(outer, kind(x, dense(3)(x))(outer))
        flat = flatten(model)
        assert isinstance(flat.layers[-1], kind) is not opened
        given = np.float32([[1, 2, 3, 4]])
        np.testing.assert_array_equal(flat(given), model(given))


def test_what_has_no_graph_is_refused():
    with pytest.raises(ValueError, match="wants a functional Keras model"):
        flatten(keras.Sequential([keras.layers.Dense(3)]))


_STRENGTHS = (
    *("factor", "x_factor", "height_factor", "width_factor"),
    *("brightness_factor", "rate", "stddev"),
)


@pytest.mark.parametrize("kind", IDLE_AT_INFERENCE, ids=lambda kind: kind.__name__)
def test_layers_that_are_left_out_do_nothing_when_a_model_answers(kind):
    known = inspect.signature(kind.__init__).parameters
    given = {name: 0.5 for name in _STRENGTHS if name in known}
    if kind.__name__ == "RandomPosterization":
        given = {"factor": 4}
    layer = kind(**given)
    shape = (32, 3) if kind.__name__ == "SpatialDropout1D" else SHAPE
    shape = (4, *SHAPE) if kind.__name__ == "SpatialDropout3D" else shape
    x = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype("float32")
    np.testing.assert_array_equal(layer(x, training=False), x)
    assert layer(keras.Input(shape)).shape == (None, *shape)


@pytest.mark.parametrize("form", [in_keras_guide, with_augmentation_in_front, two_deep])
def test_flat_models_fold(form):
    model = form()
    folded = fold(flatten(model))
    # As in test_folding: the stem works on 0..255, sixty times float32's rounding.
    np.testing.assert_allclose(answers(folded), answers(model), rtol=2e-5, atol=2e-5)
    # The norm between the pooling and the first layer behind the backbone is folded.
    assert not any(layer.name == "input_normalization" for layer in folded.layers)
