"""Keras' own files of a backbone with somebody's own head: the backbone loads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_convnext import weights
from keras_convnext.weights.errors import WeightsMismatchError

layers = keras.layers
SHAPE = (32, 32, 3)
# A narrow hidden layer, one that is as wide as the features (as the hidden layer of the
# large variants is), and layers of kinds that the backbone has, too.
HEADS: dict[str, Callable[[], list[Any]]] = {
    "one layer": lambda: [layers.Dense(2)],
    "narrow": lambda: [
        layers.Dense(10, "relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.1),
        layers.Dense(2),
    ],
    "wide": lambda: [layers.Dense(32, "relu"), layers.Dense(2)],
    "norm": lambda: [layers.LayerNormalization(), layers.Dense(10)],
}


def chained(parts: list[Any], x: Any) -> Any:
    for part in parts:
        x = part(x)
    return x


class Subclassed(keras.Model):
    """A backbone as an attribute."""

    def __init__(self, backbone: keras.Model, head: list[Any]) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def call(self, inputs: Any) -> Any:
        return chained(self.head, self.backbone(inputs))


def subclassed(backbone: keras.Model, head: list[Any]) -> keras.Model:
    model = Subclassed(backbone, head)
    model(np.zeros((1, *SHAPE)))
    return model


def nested(backbone: keras.Model, head: list[Any]) -> keras.Model:
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, chained(head, backbone(inputs)))


WAYS: dict[str, Callable[[keras.Model, list[Any]], keras.Model]] = {
    "flat": lambda b, head: keras.Model(b.input, chained(head, b.output)),
    "nested": nested,
    "sequential": lambda b, head: keras.Sequential([keras.Input(SHAPE), b, *head]),
    "augmented": lambda b, head: keras.Sequential(
        [keras.Input(SHAPE), keras.Sequential([layers.RandomFlip()]), b, *head]
    ),
    "subclassed": subclassed,
}


@pytest.fixture(scope="module")
def backbone(mini: Callable, fill: Callable) -> keras.Model:
    return fill(mini(include_top=False, pooling="avg"))


def save(model: keras.Model, path: Path) -> Path:
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.slow
def test_the_backbone_of_an_adapted_model_loads_from_its_files(
    way: str,
    head: str,
    backbone: keras.Model,
    mini: Callable,
    image: Callable,
    tmp_path: Path,
) -> None:
    model = WAYS[way](backbone, HEADS[head]())
    wanted = np.asarray(backbone(image(32)))
    bare, classifier = mini(include_top=False, pooling="avg"), mini(classes=10)
    features = keras.Model(classifier.input, classifier.get_layer("head_norm").output)
    begun = classifier.get_layer("head_dense").get_weights()
    # A subclassed model has a configuration only if its class is written for that.
    endings = ["weights.h5"] if way == "subclassed" else ["weights.h5", "keras", "h5"]
    for ending in endings:
        path = save(model, tmp_path / f"a.{ending}")
        for target, answers in ((bare, bare), (classifier, features)):
            weights.load(target, path)
            np.testing.assert_allclose(answers(image(32)), wanted, rtol=1e-5)
        for old, new in zip(
            begun, classifier.get_layer("head_dense").get_weights(), strict=True
        ):
            np.testing.assert_array_equal(old, new)


@pytest.mark.filterwarnings("ignore")
def test_a_file_of_two_networks_is_refused(
    backbone: keras.Model, mini: Callable, tmp_path: Path
) -> None:
    other = mini(include_top=False, pooling="avg")
    other = keras.Model(other.input, other.output, name="other")
    inputs = keras.Input(SHAPE)
    both = layers.Concatenate()([backbone(inputs), other(inputs)])
    model = keras.Model(inputs, both)
    target = mini(include_top=False, pooling="avg")
    for ending in ("weights.h5", "keras", "h5"):
        path = save(model, tmp_path / f"a.{ending}")
        with pytest.raises(WeightsMismatchError):
            weights.load(target, path)
    with pytest.raises(ValueError, match="holds several ConvNeXts"):
        weights.load(model, path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["nested", "sequential", "subclassed"])
def test_weights_load_into_an_adapted_model_and_are_written_of_it(
    way: str, backbone: keras.Model, mini: Callable, image: Callable, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    weights.save_weights_as(WAYS[way](backbone, [layers.Dense(2)]), path)
    inner = mini(include_top=False, pooling="avg")
    weights.load(WAYS[way](inner, [layers.Dense(2)]), path)
    np.testing.assert_allclose(inner(image(32)), backbone(image(32)), rtol=1e-6)
