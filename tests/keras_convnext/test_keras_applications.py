"""Against keras.applications: same outputs, same calls, and its own tests.

The second half asks of these builders what Keras' `applications_test.py` asks of
its own (the cases that need no download), in this project's words.
"""

import keras
import numpy as np
import pytest
from keras import applications

import keras_convnext
from keras_convnext.models import layers_by_name

SIZES = {"Tiny": 768, "Small": 768, "Base": 1024, "Large": 1536, "XLarge": 2048}
APPLICATIONS = [
    pytest.param(
        getattr(keras_convnext, f"ConvNeXt{size}"),
        width,
        id=size,
        marks=[] if size == "Tiny" else [pytest.mark.slow],
    )
    for size, width in SIZES.items()
]


def reference(**arguments):
    """Returns keras.applications' Tiny with layer scale large enough to count."""
    model = applications.ConvNeXtTiny(weights=None, **arguments)
    random = np.random.default_rng(3)
    for layer in model.layers:
        for variable in layer.trainable_variables:
            if variable.shape.rank == 1 and not isinstance(layer, keras.layers.Dense):
                variable.assign(random.uniform(0.1, 1.0, variable.shape))
    return model


def copy_weights(theirs, ours):
    """Copies by position: both list their variables in the order of computation."""
    sources = [
        (np.asarray(v), v.path) for layer in theirs.layers for v in layer.variables
    ]
    sources = [value for value, path in sources if "prestem" not in path]
    targets = ours.trainable_variables
    assert len(sources) == len(targets)
    for value, variable in zip(sources, targets, strict=True):
        if variable.path.endswith("dwconv/kernel"):
            value = value.transpose(0, 1, 3, 2)
        variable.assign(value)


OUTPUTS = {
    "top": {"include_top": True},
    "logits": {"include_top": True, "classifier_activation": None},
    "map": {"include_top": False, "pooling": None},
    "avg": {"include_top": False, "pooling": "avg"},
    "max": {"include_top": False, "pooling": "max"},
}
FAST_SIZE = {"top": (224, 224), "map": (160, 192)}


@pytest.mark.parametrize(
    ("size", "arguments"),
    [
        pytest.param(
            size,
            arguments,
            id=f"{size[0]}x{size[1]}-{name}",
            # The body is the same; logits and maxima add what Keras itself does.
            marks=[] if size == FAST_SIZE.get(name) else [pytest.mark.slow],
        )
        for size in [(224, 224), (256, 256), (160, 192)]
        for name, arguments in OUTPUTS.items()
    ],
)
def test_outputs_equal_keras_applications(size, arguments):
    arguments = {**arguments, "input_shape": (*size, 3)}
    theirs = reference(**arguments)
    ours = keras_convnext.ConvNeXtTiny(weights=None, **arguments)
    copy_weights(theirs, ours)
    x = np.random.default_rng(0).uniform(0, 255, (1, *size, 3)).astype("float32")
    expected = np.asarray(theirs(x))
    # 18 blocks in float32, summed in another order; outputs are of size one.
    np.testing.assert_allclose(ours(x), expected, atol=1e-4)
    assert np.abs(expected).max() > 1e-3


def test_layers_of_keras_applications_have_counterparts():
    ours = layers_by_name(keras_convnext.ConvNeXtTiny(weights=None))
    assert sum("dwconv" in name for name in ours) == 18
    assert sum("layer_scale" in name for name in ours) == 18


@pytest.mark.parametrize(("app", "width"), APPLICATIONS)
def test_without_top_any_number_of_channels_is_taken(app, width):
    for channels in (1, 4):
        model = app(weights=None, include_top=False, input_shape=(None, None, channels))
        assert list(model.outputs[0].shape) == [None, None, None, width]


@pytest.mark.parametrize(("app", "width"), APPLICATIONS)
def test_without_top_an_odd_size_is_taken(app, width):
    model = app(weights=None, include_top=False, input_shape=(123, 123, 3))
    assert model.outputs[0].shape[-1] == width


@pytest.mark.parametrize(("app", "width"), APPLICATIONS)
def test_without_top_another_layers_output_is_taken(app, width):
    image = keras.Input((200, 200, 4), name="custom_input")
    halved = keras.layers.Conv2D(3, 2, strides=2)(image)
    model = app(weights=None, include_top=False, input_tensor=halved)
    assert model.outputs[0].shape[-1] == width


@pytest.mark.parametrize(("app", "width"), APPLICATIONS)
def test_max_pooling_gives_one_vector_an_image(app, width):
    model = app(weights=None, include_top=False, pooling="max")
    assert list(model.outputs[0].shape) == [None, width]


@pytest.mark.parametrize(("app", "width"), APPLICATIONS)
def test_the_classifiers_activation_is_the_one_asked_for(app, width):
    model = app(weights=None, include_top=True, classifier_activation="softmax")
    assert model.layers[-1].activation.__name__ == "softmax"
    assert model.layers[-1].input.shape[-1] == width


@pytest.mark.parametrize(("app", "width"), APPLICATIONS)
def test_model_comes_back_from_its_config(app, width):
    model = app(weights=None)
    config = keras.saving.serialize_keras_object(model)
    again = keras.saving.deserialize_keras_object(config)
    assert len(again.weights) == len(model.weights)
    assert again.layers[-1].input.shape[-1] == width
