"""Readers of the kinds of model files: each gives a function to ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .console import held_stderr


@dataclass(frozen=True)
class Network:
    """A model that was read.

    Attributes:
        kind: "keras", "saved_model" or "tflite".
        size_px: Side of the pictures that it takes; None for any.
        classes: How many outputs it has.
        answer: Maps float32 pictures `(batch, size_px, size_px, 3)` in 0..255 to
            scores `(batch, classes)`.
        model: The model itself, where it is Keras'.
    """

    kind: str
    size_px: int | None
    classes: int
    answer: Callable[[np.ndarray], np.ndarray]
    model: Any = None


def _read_keras(path: Path) -> Network:
    import keras

    import keras_convnext  # noqa: F401  (its layers have to be known to Keras)

    model = keras.saving.load_model(path, compile=False)
    _, height, width, channels = model.input_shape
    if height != width or channels != 3 or len(model.output_shape) != 2:
        raise ValueError(f"it maps {model.input_shape} to {model.output_shape}")
    classes = model.output_shape[-1]
    return Network("keras", height, classes, keras_answer(model), model)


def keras_answer(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a `keras.Model` as a function of arrays.

    Much faster than `model.predict` for a picture or two.
    """
    import tensorflow as tf

    # One graph, however many pictures come at a time.
    signature = [tf.TensorSpec(model.input_shape, tf.float32)]
    forward = tf.function(
        lambda images: model(images, training=False), input_signature=signature
    )
    return lambda images: forward(tf.constant(images, tf.float32)).numpy()


def _read_saved_model(path: Path) -> Network:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    if "tensors" not in loaded.signatures:
        raise ValueError("it has no signature called tensors")
    signature = loaded.signatures["tensors"]
    [(name, spec)] = signature.structured_input_signature[1].items()

    def answer(images: np.ndarray) -> np.ndarray:
        # By way of `loaded`: a signature alone does not keep its variables alive.
        tensors = {name: tf.constant(images, tf.float32)}
        return loaded.signatures["tensors"](**tensors)["probabilities"].numpy()

    classes = signature.structured_outputs["probabilities"].shape[-1]
    return Network("saved_model", spec.shape[1], classes, answer)


def _read_tflite(path: Path) -> Network:
    # The runtime announces on stderr which kernels it uses.
    with held_stderr():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
    [given] = interpreter.get_input_details()
    made = interpreter.get_output_details()[0]
    shape, classes = given["shape"], int(made["shape"][-1])
    if len(shape) != 4 or shape[0] != 1 or len(made["shape"]) != 2:
        raise ValueError(f"it maps {tuple(shape)} to {tuple(made['shape'])}")

    def answer(images: np.ndarray) -> np.ndarray:
        rows = []
        for image in images:
            interpreter.set_tensor(given["index"], _quantized(image[None], given))
            interpreter.invoke()
            rows.append(_dequantized(interpreter.get_tensor(made["index"]), made))
        return np.concatenate(rows)

    return Network("tflite", int(shape[1]), classes, answer)


def _quantized(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Returns real values as a TFLite tensor holds them."""
    dtype = details["dtype"]
    if np.issubdtype(dtype, np.floating):
        return values.astype(dtype)
    scale, zero = details["quantization"]
    limits = np.iinfo(dtype)
    steps = np.round(values / (scale or 1.0) + zero)
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def _dequantized(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Returns the real values that a TFLite tensor stands for."""
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float32)
    scale, zero = details["quantization"]
    return (values.astype(np.float32) - zero) * (scale or 1.0)


READERS = {
    ".keras": _read_keras,
    ".tflite": _read_tflite,
    "": _read_saved_model,
}
