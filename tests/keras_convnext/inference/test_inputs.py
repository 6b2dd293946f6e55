"""Whether a model scales its images itself, for models as people build them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import keras_convnext
from keras_convnext.inference.inputs import normalizes_images
from keras_convnext.models import build
from tests.checks import tiny_variant

SHAPE = (32, 32, 3)


def _backbone(normalizes: bool = False) -> keras.Model:
    return build(
        tiny_variant(),
        include_top=False,
        include_preprocessing=normalizes,
        input_shape=SHAPE,
        pooling="avg",
    )


def _in_front(scale: Callable[[Any], Any], normalizes: bool = False) -> keras.Model:
    image = keras.Input(SHAPE)
    return keras.Model(image, _backbone(normalizes)(scale(image)))


layers, applications = keras.layers, keras.applications
MODELS: dict[str, tuple[Callable[[], keras.Model], bool]] = {
    "ours": (lambda: _backbone(normalizes=True), True),
    "ours without": (_backbone, False),
    "inside another model": (lambda: _in_front(lambda x: x, normalizes=True), True),
    "without, inside another model": (lambda: _in_front(lambda x: x), False),
    "flipped and resized only": (
        lambda: _in_front(lambda x: layers.Resizing(32, 32)(layers.RandomFlip()(x))),
        False,
    ),
    "Rescaling in front": (lambda: _in_front(layers.Rescaling(1 / 255)), True),
    "arithmetic": (lambda: _in_front(lambda x: x / 127.5 - 1), True),
    "a factor": (lambda: _in_front(lambda x: keras.ops.multiply(x, 1 / 255)), True),
    "preprocess_input, -1..1": (
        lambda: _in_front(applications.mobilenet_v2.preprocess_input),
        True,
    ),
    "preprocess_input, caffe": (
        lambda: _in_front(applications.resnet.preprocess_input),
        True,
    ),
    "preprocess_input, torch": (
        lambda: _in_front(applications.densenet.preprocess_input),
        True,
    ),
    "a model that scales": (
        lambda: _in_front(keras.Sequential([keras.Input(SHAPE), layers.Rescaling(2)])),
        True,
    ),
    "Sequential with Rescaling": (
        lambda: keras.Sequential(
            [keras.Input(SHAPE), layers.Rescaling(1 / 255), _backbone()]
        ),
        True,
    ),
    "Sequential without": (
        lambda: keras.Sequential([keras.Input(SHAPE), _backbone()]),
        False,
    ),
    "BatchNormalization first": (
        lambda: _in_front(layers.BatchNormalization()),
        True,
    ),
}


@pytest.mark.parametrize(("make", "expected"), MODELS.values(), ids=list(MODELS))
def test_the_graph_tells_whether_images_are_scaled_inside(
    make: Callable[[], keras.Model], expected: bool
) -> None:
    assert normalizes_images(make()) is expected


def test_kerass_own_convnext_scales_by_itself() -> None:
    theirs = applications.ConvNeXtTiny(
        weights=None, include_top=False, input_shape=SHAPE
    )
    assert normalizes_images(theirs) is True


def test_a_lambda_and_a_subclassed_model_show_nothing() -> None:
    assert normalizes_images(_in_front(layers.Lambda(lambda x: x / 255))) is None

    class Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = _backbone()

        def call(self, images: Any) -> Any:
            return self.inner(images / 255)

    model = Subclassed()
    model(np.zeros((1, *SHAPE), "float32"))
    assert normalizes_images(model) is None
    image = keras.Input(SHAPE)
    assert normalizes_images(keras.Model(image, model(image))) is None


def test_folding_hides_whether_the_first_kernel_normalizes():
    for inside in (True, False):
        model = keras_convnext.create(
            "test_convnext2",
            weights=None,
            input_shape=(32, 32, 3),
            classes=2,
            include_preprocessing=inside,
        )
        assert normalizes_images(model) == inside
        assert normalizes_images(keras_convnext.fold(model)) is None
