"""What tests of layers and models share: small networks, images, and what must hold.

A new layer or model goes through `check_layer` or `check_model`; what is its own, its
formula or its gradients, is tested beside.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_convnext import pyramid
from keras_convnext.detection import MaskRCNN
from keras_convnext.models import build
from keras_convnext.segmentation import ResizeLike
from keras_convnext.segmentation.heads import upernet_head
from keras_convnext.variants import Variant, find_variant

POLICIES = ("mixed_float16", "mixed_bfloat16", "float64")


def tiny_variant(name: str = "convnext_atto", /, **changes: Any) -> Variant:
    """Returns a variant's row with five narrow blocks; isotropic ones have one."""
    row = find_variant(name)
    stages = len(row.depths)
    tiny = {"depths": (1, 1, 2, 1)[:stages], "widths": (8, 16, 24, 32)[:stages]}
    return replace(row, **{**tiny, **changes})


def random_images(
    batch: int = 2,
    height: int = 32,
    width: int | None = None,
    channels: int = 3,
    seed: int = 0,
) -> np.ndarray:
    """Returns float32 `(batch, height, width, channels)` in 0..255."""
    shape = (batch, height, width or height, channels)
    return np.random.default_rng(seed).uniform(0, 255, shape).astype("float32")


def raise_gains(model: keras.Model, seed: int = 1) -> keras.Model:
    """At their initial values layer scale and GRN hide the blocks from a test."""
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        if variable.name in ("gamma", "beta", "bias"):
            variable.assign(random.uniform(0.1, 1.0, variable.shape))
    return model


def tiny_upernet(
    classes: int = 3, size_px: int | None = None, activation: str | None = "softmax"
) -> keras.Model:
    """Returns UPerNet on `tiny_variant` with 16 channels inside instead of 512."""
    shape = (size_px, size_px, 3)
    network = build(
        tiny_variant(), include_top=False, weights=None, input_shape=shape, seed=0
    )
    levels = list(pyramid(network, norms=True).pyramid_outputs.values())
    logits = upernet_head(levels, classes, channels=16, seeds=itertools.count())
    outputs = ResizeLike(dtype="float32")(logits, network.input)
    if activation is not None:
        outputs = keras.layers.Activation(activation, dtype="float32")(outputs)
    return keras.Model(network.inputs, outputs, name="tiny_upernet")


def balance_classes(model: keras.Model, images: np.ndarray) -> keras.Model:
    """Lets a random UPerNet name several classes, which its biases would not."""
    logits = model.get_layer("decode_logits")
    inside = keras.Model(model.input, logits.output)
    typical = np.median(inside(images), axis=(0, 1, 2))
    logits.bias.assign(logits.bias - typical)
    return model


# Deviations of what a box head says from box to box.
_HEADS = {"_logits": 2.0, "_deltas": 1.0}


TINY_DETECTOR = {
    "channels": 16,
    "units": 16,
    "proposals": 40,
    "detections": 12,
    "score_threshold": 0.4,
    "seed": 0,
}


def tiny_detector(
    builder: Callable[..., keras.Model] = MaskRCNN, classes: int = 3
) -> keras.Model:
    """Returns a detector on a small backbone with 16 channels inside instead of 256.

    Its random weights tell boxes apart, so that it finds objects of all classes.

    Args:
        builder: `MaskRCNN` or `CascadeMaskRCNN`.
        classes: Classes of objects.
    """
    model = builder("test_convnext2", classes, **TINY_DETECTOR)
    random = np.random.default_rng(5)
    for variable in model.weights:
        shape = variable.shape
        if len(shape) > 1 and "stage" not in variable.path:
            variable.assign(random.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape))
        elif variable.name in ("moving_mean", "moving_variance", "gamma", "beta"):
            variable.assign(random.uniform(0.7, 1.3, shape))
        elif variable.name == "bias":
            # Norms make noise of where an image has one color and nothing is added.
            variable.assign(random.normal(0, 0.2, shape))
    deltas = model.get_layer("rpn_deltas").kernel
    deltas.assign(0.2 * deltas)
    images = np.kron(random_images(4, 4), np.ones((1, 16, 16, 1)))
    for name, deviation in _HEADS.items():
        for layer in model.layers:
            if layer.name.startswith("box") and layer.name.endswith(name):
                inside = keras.Model(model.input, layer.output)
                values = np.asarray(inside(images))
                scale = deviation / values.std(0)
                layer.kernel.assign(layer.kernel * scale)
                layer.bias.assign(-values.mean(0) * scale)
    return model


def check_layer(
    layer: keras.layers.Layer, inputs: np.ndarray, policies: tuple[str, ...] = POLICIES
) -> None:
    """Asserts what holds for every layer.

    The symbolic shape and type are those that are computed; a copy from the config
    computes the same; under each policy the output has its compute type and the
    variables have its variable type.
    """
    symbolic = layer(keras.KerasTensor(inputs.shape, inputs.dtype))
    outputs = layer(inputs)
    assert tuple(outputs.shape) == symbolic.shape
    assert keras.backend.standardize_dtype(outputs.dtype) == symbolic.dtype

    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == layer.get_config()
    copy(inputs)  # builds those that their config did not build
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(inputs), outputs)

    for policy in policies:
        other = type(layer).from_config({**layer.get_config(), "dtype": policy})
        dtype = other(inputs, training=True).dtype
        assert keras.backend.standardize_dtype(dtype) == other.compute_dtype
        assert {v.dtype for v in other.trainable_variables} <= {other.variable_dtype}


def check_keras_file(model: keras.Model, images: np.ndarray, folder: Path) -> None:
    """Asserts that a model comes back from its .keras file, to the bit."""
    path = folder / "model.keras"
    model.save(path)
    reloaded = keras.saving.load_model(path)
    path.unlink()
    # Inside of a layer that holds layers, a path gets longer when it is loaded.
    found, names = (
        [variable.path.split("/")[-2:] for variable in each.trainable_variables]
        for each in (reloaded, model)
    )
    assert found == names
    np.testing.assert_array_equal(reloaded(images), model(images))


def check_model(model: keras.Model, images: np.ndarray, folder: Path) -> None:
    """Asserts what holds for every model.

    Its output has the shape that it announces; it comes back from its .keras file, and
    a copy with other weights from its file of weights, to the bit.
    """
    expected = np.asarray(model(images))
    assert expected.shape == (len(images), *model.output_shape[1:])
    check_keras_file(model, images, folder)
    model.save_weights(folder / "model.weights.h5")
    copy = keras.models.clone_model(model)
    for variable in copy.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    copy.load_weights(folder / "model.weights.h5")
    np.testing.assert_array_equal(copy(images), expected)


def derive(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Returns a function's value and its gradients, weighted so that all differ."""
    import tensorflow as tf

    tensors = [tf.convert_to_tensor(each) for each in arguments]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
        weights = tf.reshape(tf.range(tf.size(value)), tf.shape(value)) % 7 - 3
        total = tf.reduce_sum(value * tf.cast(weights, value.dtype))
    return [value, *tape.gradient(total, tensors)]


def check_equal(ours: list[Any], theirs: list[Any], tolerance: float) -> None:
    """Asserts that tensors have the same types and nearly the same numbers."""
    import tensorflow as tf

    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        one, other = (tf.cast(each, tf.float64) for each in (one, other))
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def write_arrays(path: Path, train: int = 32, test: int = 8) -> Path:
    """Writes noise of 16 px in four classes as `--data=array:` takes it."""
    random = np.random.default_rng(0)
    parts = {"train": train, "test": test}
    images = {
        f"{part}_images": random.integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)
        for part, count in parts.items()
    }
    labels = {f"{part}_labels": np.arange(count) % 4 for part, count in parts.items()}
    np.savez(path, **images, **labels)
    return path


def run_python(code: str, folder: Path | None = None, **environment: str) -> Any:
    """Runs code in a fresh process and returns what it printed last as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
