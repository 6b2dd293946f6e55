"""Classifiers as people build and save them, each with the answers that are right.

`FORMS` is the table: how a model is built, what its outputs mean by NumPy, and which
commands must refuse it in a line with certain words. docs/model_forms.md is made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np

import keras_convnext
from tests.forms import networks
from tests.forms.networks import SHAPE

COMMANDS = ("export", "predict", "evaluate", "explain", "serve")

Answers = Callable[[np.ndarray], np.ndarray]


def as_they_are(outputs: np.ndarray) -> np.ndarray:
    """Returns the outputs: probabilities already."""
    return outputs


def softmax(outputs: np.ndarray) -> np.ndarray:
    """Returns the probabilities of exclusive classes, of logits."""
    powers = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(outputs: np.ndarray) -> np.ndarray:
    """Returns the probability of each label, of logits."""
    return 1 / (1 + np.exp(-outputs))


@dataclass(frozen=True)
class Form:
    """One way to build a classifier.

    Attributes:
        name: In words, for the page.
        make: Builds it.
        meaning: From what Keras answers to probabilities.
        flags: What the commands are told.
        refused: The words of the line with which commands refuse it.
        tolerance: Largest difference of a probability that its arithmetic explains.
        exclusive: Whether an image has exactly one of its classes.
    """

    name: str
    make: Callable[[], keras.Model]
    meaning: Answers = as_they_are
    flags: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    tolerance: float = 1e-4
    exclusive: bool = True


def everywhere(words: str) -> dict[str, str]:
    """Returns that every command refuses with these words."""
    return dict.fromkeys(COMMANDS, words)


# Several labels an image: accuracy is not defined for them.
_NO_ACCURACY = {"evaluate": "label"}
# Grad-CAM takes the gradient of a logit, which is what a last Dense layer computes.
_NO_DENSE_AT_THE_END = {"explain": "last layer is Dense"}


layers, losses, ops = keras.layers, keras.losses, keras.ops
FORMS = (
    Form(
        "a builder's classifier",
        lambda: networks.small(classes=5, head_init_scale=40.0),
    ),
    Form(
        "the same with `classifier_activation=None`",
        lambda: networks.small(
            classes=5, classifier_activation=None, head_init_scale=40.0
        ),
        softmax,
    ),
    Form(
        "V2", lambda: networks.small("convnextv2_atto", classes=5, head_init_scale=40.0)
    ),
    Form(
        "`remat=True`",
        lambda: networks.small(classes=5, head_init_scale=40.0, remat=True),
    ),
    Form(
        "input of any size",
        lambda: networks.small(
            classes=5, head_init_scale=40.0, input_shape=(None, None, 3)
        ),
    ),
    Form(
        "a backbone's output into a Dense layer",
        lambda: networks.flat(networks.dense(5, "softmax")),
    ),
    Form(
        "the same with Dropout between",
        lambda: networks.flat(
            lambda x: networks.dense(5, "softmax")(layers.Dropout(0.5)(x))
        ),
    ),
    Form("`x = backbone(inputs)`", lambda: networks.around(networks.backbone())),
    Form(
        "`x = backbone(inputs, training=False)`",
        lambda: networks.around(networks.backbone(), training=False),
    ),
    Form(
        "`Sequential([backbone, Dense])`",
        lambda: keras.Sequential([networks.backbone(), networks.dense(5, "softmax")]),
    ),
    Form(
        "Sequential with augmentation in it",
        lambda: keras.Sequential(
            [
                keras.Input(SHAPE),
                layers.RandomFlip(),
                layers.RandomRotation(0.1),
                networks.backbone(),
                networks.dense(5, "softmax"),
            ]
        ),
    ),
    Form(
        "augmentation in front of a backbone",
        lambda: networks.around(
            networks.backbone(), layers.RandomFlip(), layers.RandomContrast(0.2)
        ),
    ),
    Form(
        "augmentation in front of a whole classifier",
        lambda: networks.classifier_inside(layers.RandomFlip()),
    ),
    Form(
        "a classifier of logits inside another model",
        lambda: networks.classifier_inside(classifier_activation=None),
        softmax,
    ),
    Form(
        "models inside models, three deep",
        lambda: networks.around(
            keras.Sequential([keras.Input(SHAPE), networks.around(networks.backbone())])
        ),
    ),
    Form(
        "`Rescaling(1/127.5, -1)` in front",
        lambda: networks.scaled(layers.Rescaling(1 / 127.5, -1)),
    ),
    Form("arithmetic in front", lambda: networks.scaled(lambda x: x / 255.0)),
    Form(
        "`preprocess_input` of MobileNetV2 inside",
        lambda: networks.scaled(keras.applications.mobilenet_v2.preprocess_input),
    ),
    Form(
        "`include_preprocessing=False`, no flag",
        lambda: networks.small(classes=5, include_preprocessing=False),
        refused=everywhere("--normalization"),
    ),
    Form(
        "the same with `--normalization=none`",
        lambda: networks.small(classes=5, include_preprocessing=False),
        flags=("--normalization=none",),
    ),
    Form(
        "one sigmoid",
        lambda: networks.flat(networks.dense(1, "sigmoid")),
    ),
    Form(
        "one logit, compiled with `BinaryCrossentropy(from_logits=True)`",
        lambda: networks.compiled(
            networks.flat(networks.dense(1)),
            losses.BinaryCrossentropy(from_logits=True),
        ),
        sigmoid,
    ),
    Form(
        "one logit, not compiled",
        lambda: networks.flat(networks.dense(1)),
        refused=everywhere("--output="),
    ),
    Form(
        "the same with `--output=sigmoid`",
        lambda: networks.flat(networks.dense(1)),
        sigmoid,
        flags=("--output=sigmoid",),
    ),
    Form(
        "a softmax over one output",
        lambda: networks.flat(networks.dense(1, "softmax")),
        refused=everywhere("1 for every image"),
    ),
    Form(
        "several sigmoids",
        lambda: networks.flat(networks.dense(5, "sigmoid")),
        refused=_NO_ACCURACY,
        exclusive=False,
    ),
    Form(
        "several logits, `BinaryCrossentropy(from_logits=True)`",
        lambda: networks.compiled(
            networks.flat(networks.dense(5)),
            losses.BinaryCrossentropy(from_logits=True),
        ),
        sigmoid,
        refused=_NO_ACCURACY,
        exclusive=False,
    ),
    Form(
        "several logits, `BinaryFocalCrossentropy(from_logits=True)`",
        lambda: networks.compiled(
            networks.flat(networks.dense(5)),
            losses.BinaryFocalCrossentropy(from_logits=True),
        ),
        sigmoid,
        refused=_NO_ACCURACY,
        exclusive=False,
    ),
    Form(
        "logits, `SparseCategoricalCrossentropy(from_logits=True)`",
        lambda: networks.compiled(
            networks.flat(networks.dense(5)),
            losses.SparseCategoricalCrossentropy(from_logits=True),
        ),
        softmax,
    ),
    Form(
        "logits, `CategoricalFocalCrossentropy(from_logits=True)`",
        lambda: networks.compiled(
            networks.flat(networks.dense(5)),
            losses.CategoricalFocalCrossentropy(from_logits=True),
        ),
        softmax,
    ),
    Form(
        "logits, not compiled",
        lambda: networks.flat(networks.dense(5)),
        refused=everywhere("--output="),
    ),
    Form(
        "the same with `--output=logits`",
        lambda: networks.flat(networks.dense(5)),
        softmax,
        flags=("--output=logits",),
    ),
    Form(
        "linear outputs, mean squared error",
        lambda: networks.compiled(networks.flat(networks.dense(5)), "mse"),
        refused=everywhere("mean_squared_error|mse"),
    ),
    Form(
        "`keras.ops.softmax`",
        lambda: networks.flat(lambda x: ops.softmax(networks.dense()(x))),
    ),
    Form(
        "`keras.ops.sigmoid`",
        lambda: networks.flat(lambda x: ops.sigmoid(networks.dense(1)(x))),
    ),
    Form("a softmax, cast to float32 at the end", networks.cast_at_the_end),
    Form(
        "a softmax smoothed by arithmetic",
        lambda: networks.flat(lambda x: networks.dense(5, "softmax")(x) * 0.9 + 0.02),
        refused=_NO_DENSE_AT_THE_END,
    ),
    Form(
        "a 1x1 convolution, pooled, softmax",
        networks.pooled_map,
        refused=_NO_DENSE_AT_THE_END,
    ),
    Form(
        "the average of two classifiers",
        networks.ensemble,
        refused=_NO_DENSE_AT_THE_END,
    ),
    Form("two outputs", networks.two_outputs, refused=everywhere("2 outputs")),
    Form("named outputs", networks.outputs_by_name, refused=everywhere("2 outputs")),
    Form("mixed_bfloat16", lambda: networks.mixed("mixed_bfloat16"), tolerance=0.1),
    Form("mixed_float16", lambda: networks.mixed("mixed_float16"), tolerance=0.02),
    Form("LoRA, trained", networks.with_lora),
    Form(
        "`model.quantize('int8')`",
        networks.quantized,
        refused={"explain": "quantized, which has no gradients"},
    ),
    Form(
        "`fold()`, saved",
        lambda: keras_convnext.fold(networks.small(classes=5, head_init_scale=40.0)),
        flags=("--normalization=none",),
    ),
    Form("a subclassed model", networks.subclassed, refused=everywhere("subclassed")),
    Form(
        "a subclassed model inside a functional one",
        networks.subclassed_in_a_graph,
        flags=("--normalization=none",),
        refused=_NO_DENSE_AT_THE_END,
    ),
    Form("`keras.applications.ConvNeXtTiny` and a Dense layer", networks.kerass_own),
    Form(
        "KerasHub's `ImageClassifier` on this library's backbone", networks.of_keras_hub
    ),
    Form("a network of the roadmap (ResNet-50)", networks.roadmap),
    Form(
        "input that is not square",
        lambda: networks.flat(networks.dense(5, "softmax"), input_shape=(32, 48, 3)),
        refused=everywhere("square"),
    ),
    Form(
        "input with one channel",
        lambda: networks.flat(networks.dense(5, "softmax"), input_shape=(32, 32, 1)),
        refused=everywhere("3"),
    ),
    Form(
        "features, no classifier",
        networks.backbone,
        refused=everywhere("--output="),
    ),
)
