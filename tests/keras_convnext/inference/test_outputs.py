"""What a model's numbers mean, for models as people build them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from keras_convnext.inference.outputs import (
    OutputMeaning,
    find_output_meaning,
    read_recorded_loss,
)

Head = Callable[[Any], Any]


def _body() -> keras.Model:
    """Returns a backbone of a kernel and a pooling: `(batch, 4)` of 8 px images."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 4, 4)(image)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


def _model(head: Head) -> keras.Model:
    body = _body()
    return keras.Model(body.input, head(body.output))


def _dense(classes: int, activation: str | None = None, **more: Any) -> Head:
    return keras.layers.Dense(classes, activation, **more)


def _then(*steps: Head) -> Head:
    def head(x: Any) -> Any:
        for step in steps:
            x = step(x)
        return x

    return head


def _nested(activation: str | None, classes: int = 5) -> keras.Model:
    inner = _model(_dense(classes, activation))
    image = keras.Input((8, 8, 3))
    return keras.Model(image, inner(keras.layers.RandomFlip()(image)))


def _average_of_two() -> keras.Model:
    body = _body()
    made = [keras.layers.Dense(5, "softmax")(body.output) for _ in range(2)]
    return keras.Model(body.input, keras.layers.Average()(made))


def _pooled_map(activation: str | None) -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(5, 4, 4, activation=activation)(image)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


ops = keras.ops
ENDINGS: dict[str, tuple[Callable[[], keras.Model], str, bool]] = {
    "softmax layer": (lambda: _model(_dense(5, "softmax")), "softmax", True),
    "sigmoid layer": (lambda: _model(_dense(5, "sigmoid")), "sigmoid", True),
    "one sigmoid": (lambda: _model(_dense(1, "sigmoid")), "sigmoid", True),
    "Softmax": (
        lambda: _model(_then(_dense(5), keras.layers.Softmax())),
        "softmax",
        True,
    ),
    "Activation": (
        lambda: _model(_then(_dense(5), keras.layers.Activation("sigmoid"))),
        "sigmoid",
        True,
    ),
    "cast after a softmax": (
        lambda: _model(
            _then(
                _dense(5, "softmax"),
                keras.layers.Activation("linear", dtype="float32"),
            )
        ),
        "softmax",
        True,
    ),
    "ops.softmax": (lambda: _model(_then(_dense(5), ops.softmax)), "softmax", True),
    "ops.sigmoid": (lambda: _model(_then(_dense(5), ops.sigmoid)), "sigmoid", True),
    "ops.cast": (
        lambda: _model(_then(_dense(5, "softmax"), lambda x: ops.cast(x, "float16"))),
        "softmax",
        True,
    ),
    "log_softmax": (
        lambda: _model(_then(_dense(5), ops.log_softmax)),
        "softmax",
        False,
    ),
    "two softmaxes averaged": (_average_of_two, "softmax", True),
    "softmax of a map, pooled": (lambda: _pooled_map("softmax"), "softmax", True),
    "Sequential": (
        lambda: keras.Sequential(
            [keras.Input((8, 8, 3)), _body(), _dense(5, "softmax")]
        ),
        "softmax",
        True,
    ),
    "a classifier inside": (lambda: _nested("softmax"), "softmax", True),
    "tags inside": (lambda: _nested("sigmoid"), "sigmoid", True),
    "labels smoothed by arithmetic": (
        lambda: _model(_then(_dense(5, "softmax"), lambda x: x * 0.9 + 0.02)),
        "softmax",
        True,
    ),
    "logits of head_dense": (
        lambda: _model(_dense(5, name="head_dense")),
        "softmax",
        False,
    ),
}


@pytest.mark.parametrize(
    ("build", "kind", "applied"), ENDINGS.values(), ids=list(ENDINGS)
)
def test_the_graph_tells_what_the_outputs_are(
    build: Callable[[], keras.Model], kind: str, applied: bool
) -> None:
    meaning = find_output_meaning(build())
    assert (meaning.kind, meaning.applied) == (kind, applied)


losses = keras.losses
RECORDED: dict[str, tuple[int, Any, str]] = {
    "binary, one": (1, losses.BinaryCrossentropy(from_logits=True), "sigmoid"),
    "binary, many": (5, losses.BinaryCrossentropy(from_logits=True), "sigmoid"),
    "focal": (5, losses.BinaryFocalCrossentropy(from_logits=True), "sigmoid"),
    "sparse": (
        5,
        losses.SparseCategoricalCrossentropy(from_logits=True),
        "softmax",
    ),
    "one-hot, in a list": (
        5,
        [losses.CategoricalCrossentropy(from_logits=True)],
        "softmax",
    ),
    "focal of classes": (
        5,
        losses.CategoricalFocalCrossentropy(from_logits=True),
        "softmax",
    ),
}


@pytest.mark.parametrize(
    ("classes", "loss", "kind"), RECORDED.values(), ids=list(RECORDED)
)
def test_the_recorded_loss_tells_what_logits_are_of(
    classes: int, loss: Any, kind: str, tmp_path: Any
) -> None:
    model = _model(_dense(classes))
    model.compile("sgd", loss)
    model.save(tmp_path / "m.keras")
    recorded = read_recorded_loss(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", compile=False)
    for meaning in (
        find_output_meaning(model),
        find_output_meaning(loaded, loss=recorded),
    ):
        assert (meaning.kind, meaning.applied) == (kind, False)
        assert meaning.activation == kind


def test_sigmoids_trained_on_exclusive_classes_are_exclusive() -> None:
    model = _model(_dense(5, "sigmoid"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert find_output_meaning(model).kind == "softmax"


REFUSED: dict[str, tuple[Callable[[], keras.Model], Any, str]] = {
    "linear, no loss": (lambda: _model(_dense(5)), None, "no loss is recorded"),
    "one linear": (lambda: _model(_dense(1)), None, "its output is linear"),
    "regression": (lambda: _model(_dense(5)), "mse", "trained by mse"),
    "linear, loss of probabilities": (
        lambda: _model(_dense(1)),
        "binary_crossentropy",
        "from_logits is not set",
    ),
    "one output, classes": (
        lambda: _model(_dense(1)),
        losses.SparseCategoricalCrossentropy(from_logits=True),
        "needs one a class",
    ),
    "softmax of one": (
        lambda: _model(_dense(1, "softmax")),
        "binary_crossentropy",
        "1 for every image",
    ),
    "relu": (lambda: _model(_dense(5, "relu")), "mse", "made by relu"),
    "softmax over the wrong axis": (
        lambda: _model(_then(_dense(5), keras.layers.Softmax(axis=0))),
        None,
        "axis 0",
    ),
    "a feature map": (
        lambda: keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 4)]),
        None,
        "not (batch, classes)",
    ),
    "two outputs": (
        lambda: _model(lambda x: [_dense(5, "softmax")(x), _dense(2, "softmax")(x)]),
        None,
        "2 outputs",
    ),
}


@pytest.mark.parametrize(("build", "loss", "text"), REFUSED.values(), ids=list(REFUSED))
def test_what_stays_open_is_refused_in_one_line(
    build: Callable[[], keras.Model], loss: Any, text: str
) -> None:
    model = build()
    if loss is not None:
        model.compile("sgd", loss)
    with pytest.raises(ValueError, match=re.escape(text)) as refusal:
        find_output_meaning(model)
    assert "\n" not in str(refusal.value)


def test_a_subclassed_model_is_refused_and_one_in_a_graph_is_asked() -> None:
    @keras.saving.register_keras_serializable("test_outputs")
    class Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = _body(), keras.layers.Dense(5, "softmax")

        def call(self, images: Any) -> Any:
            return self.head(self.body(images))

    model = Subclassed()
    model(np.zeros((1, 8, 8, 3), "float32"))
    with pytest.raises(ValueError, match="subclassed"):
        find_output_meaning(model)
    image = keras.Input((8, 8, 3))
    meaning = find_output_meaning(keras.Model(image, model(image)))
    assert meaning == OutputMeaning(
        "softmax", True, "its answers to noise add up to one"
    )


TOLD: list[tuple[str, str | None, int, tuple[str, bool] | None]] = [
    ("logits", None, 5, ("softmax", False)),
    ("logits", None, 1, ("sigmoid", False)),
    ("logits", "softmax", 5, None),
    ("logits", "sigmoid", 1, None),
    ("probabilities", "softmax", 5, ("softmax", True)),
    ("probabilities", "sigmoid", 5, ("softmax", True)),
    ("probabilities", "sigmoid", 1, ("sigmoid", True)),
    ("probabilities", None, 5, None),
    ("sigmoid", None, 5, ("sigmoid", False)),
    ("sigmoid", "sigmoid", 5, ("sigmoid", True)),
    ("sigmoid", "softmax", 5, None),
    ("features", None, 5, ("features", True)),
    ("features", "softmax", 5, ("features", True)),
]


@pytest.mark.parametrize(("told", "activation", "classes", "expected"), TOLD)
def test_what_is_told_counts_unless_the_graph_contradicts(
    told: str,
    activation: str | None,
    classes: int,
    expected: tuple[str, bool] | None,
) -> None:
    model = _model(_dense(classes, activation))
    if expected is None:
        with pytest.raises(ValueError, match="contradicts"):
            find_output_meaning(model, told=told)
        return
    meaning = find_output_meaning(model, told=told)
    assert (meaning.kind, meaning.applied) == expected
    assert meaning.origin == f"--output={told}"


def test_an_unknown_word_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match="logits, probabilities, sigmoid, number, features"
    ):
        find_output_meaning(_model(_dense(5)), told="softmax")
