"""Small networks of this library with the classifiers that people put on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_convnext
from keras_convnext.models import build
from tests.checks import tiny_variant

SHAPE = (32, 32, 3)


def small(name: str = "convnext_atto", **options: Any) -> keras.Model:
    """Returns one of our networks with a block a stage, its blocks made to count."""
    row = tiny_variant(name, depths=(1, 1, 1, 1))
    options = {"input_shape": SHAPE, "seed": 3, **options}
    model = build(row, **options)
    for layer in model.layers:
        if layer.name.endswith("layer_scale"):
            layer.gamma.assign(np.full(layer.gamma.shape, 0.5))
    return model


def backbone(**options: Any) -> keras.Model:
    return small(include_top=False, **{"pooling": "avg", **options})


def dense(classes: int = 5, activation: Any = None, **options: Any) -> Any:
    # Kernels wide enough for answers that differ from image to image.
    wide = keras.initializers.RandomNormal(stddev=1.0, seed=4)
    return keras.layers.Dense(classes, activation, kernel_initializer=wide, **options)


def flat(head: Callable[[Any], Any], **options: Any) -> keras.Model:
    body = backbone(**options)
    return keras.Model(body.input, head(body.output))


def around(
    body: Callable[..., Any], *steps: Callable[[Any], Any], **call: Any
) -> keras.Model:
    """Returns a new functional model: the steps, then the body, then a softmax."""
    image = keras.Input(SHAPE)
    x = image
    for step in steps:
        x = step(x)
    return keras.Model(image, dense(5, "softmax")(body(x, **call)))


def compiled(model: keras.Model, loss: Any) -> keras.Model:
    model.compile("adam", loss)
    return model


def with_lora() -> keras.Model:
    model = small(classes=5, head_init_scale=40.0)
    random = np.random.default_rng(5)
    for layer in model.layers:
        if layer.name.endswith(("_expand", "_project")):
            layer.enable_lora(2)
            shape = layer.lora_kernel_b.shape
            layer.lora_kernel_b.assign(random.normal(0, 0.3, shape))
    return model


def quantized() -> keras.Model:
    model = small(classes=5, head_init_scale=40.0)
    model.quantize("int8", filters="_expand$|_project$|^head_dense$")
    return model


def mixed(policy: str) -> keras.Model:
    return flat(dense(5, "softmax", dtype="float32"), dtype=policy)


def cast_at_the_end() -> keras.Model:
    last = keras.layers.Activation("linear", dtype="float32")
    return flat(lambda x: last(keras.layers.Softmax()(dense()(x))))


def classifier_inside(*steps: Callable[[Any], Any], **options: Any) -> keras.Model:
    inner = small(classes=5, head_init_scale=40.0, **options)
    image = keras.Input(SHAPE)
    x = image
    for step in steps:
        x = step(x)
    return keras.Model(image, inner(x))


def pooled_map() -> keras.Model:
    body = backbone(pooling=None)
    wide = keras.initializers.RandomNormal(stddev=1.0, seed=4)
    maps = keras.layers.Conv2D(5, 1, kernel_initializer=wide)(body.output)
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    return keras.Model(body.input, keras.layers.Softmax()(pooled))


def ensemble() -> keras.Model:
    image = keras.Input(SHAPE)
    members = [classifier_inside(seed=seed)(image) for seed in (1, 2)]
    return keras.Model(image, keras.layers.Average()(members))


def two_outputs() -> keras.Model:
    body = backbone()
    outputs = [dense(5, "softmax")(body.output), dense(2, "softmax")(body.output)]
    return keras.Model(body.input, outputs)


def outputs_by_name() -> keras.Model:
    body = backbone()
    kind = dense(5, "softmax", name="kind")(body.output)
    age = dense(1, name="age")(body.output)
    return keras.Model(body.input, {"kind": kind, "age": age})


@keras.saving.register_keras_serializable("forms")
class Subclassed(keras.Model):
    """A model whose graph cannot be seen, around one of ours."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.body, self.head = backbone(), dense(5, "softmax")

    def call(self, images: Any) -> Any:
        return self.head(self.body(images))


def subclassed() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, *SHAPE), "float32"))
    return model


def subclassed_in_a_graph() -> keras.Model:
    image = keras.Input(SHAPE)
    return keras.Model(image, subclassed()(image))


def kerass_own() -> keras.Model:
    theirs = keras.applications.ConvNeXtTiny(
        include_top=False, weights=None, input_shape=SHAPE, pooling="avg"
    )
    return keras.Model(theirs.input, dense(5, "softmax")(theirs.output))


def of_keras_hub() -> keras.Model:
    import keras_hub

    return keras_hub.models.ImageClassifier(
        backbone=backbone(pooling=None), num_classes=5, activation="softmax"
    )


def roadmap() -> keras.Model:
    return keras_convnext.roadmap.build(
        "resnet50", input_shape=SHAPE, classes=5, head_init_scale=40.0
    )


def scaled(scale: Callable[[Any], Any]) -> keras.Model:
    return around(backbone(include_preprocessing=False), scale)
