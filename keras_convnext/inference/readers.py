"""Readers of exported files: each gives a function to ask.

Exported files of ours take images in 0..255 and answer with probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext._stderr import hold_stderr


@dataclass(frozen=True)
class ExportedModel:
    """An exported file that was read.

    Attributes:
        kind: "saved_model" or "tflite".
        size_px: Side of the images that it takes; None for any.
        outputs: How many it has.
        answer: Maps float32 images `(batch, size_px, size_px, 3)` in 0..255 to
            float32 `(batch, outputs)`.
    """

    kind: str
    size_px: int | None
    outputs: int
    answer: Callable[[np.ndarray], np.ndarray]


def read_saved_model(path: Path) -> ExportedModel:
    """Reads a SavedModel's folder.

    Raises:
        ValueError: It has no signature `tensors` that gives `probabilities`.
        OSError: It cannot be read.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures.get("tensors")
    if signature is None or "probabilities" not in signature.structured_outputs:
        raise ValueError(
            "it has no signature tensors that gives probabilities, as exports of this "
            "project have"
        )
    [(name, spec)] = signature.structured_input_signature[1].items()

    def answer(images: np.ndarray) -> np.ndarray:
        # By way of `loaded`: a signature alone does not keep its variables alive.
        tensors = {name: tf.constant(images, tf.float32)}
        found = loaded.signatures["tensors"](**tensors)["probabilities"].numpy()
        return np.asarray(found, np.float32)

    outputs = signature.structured_outputs["probabilities"].shape[-1]
    return ExportedModel("saved_model", spec.shape[1], outputs, answer)


def read_tflite(path: Path) -> ExportedModel:
    """Reads a TFLite file.

    Raises:
        ValueError: It is none, or does not map images to scores.
    """
    # The runtime announces on stderr which kernels it uses.
    with hold_stderr():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
    given, made = interpreter.get_input_details(), interpreter.get_output_details()
    shapes = [tuple(map(int, each["shape_signature"])) for each in (*given, *made)]
    fits = len(given) == len(made) == 1 and [len(shape) for shape in shapes] == [4, 2]
    if not fits or shapes[0][-1] != 3 or shapes[0][1] != shapes[0][2]:
        raise ValueError(
            f"it maps {shapes[: len(given)]} to {shapes[len(given) :]}, not one square "
            "RGB image to scores"
        )
    batch, side = shapes[0][:2]

    def ask(images: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(given[0]["index"], _quantize(images, given[0]))
        interpreter.invoke()
        return _dequantize(interpreter.get_tensor(made[0]["index"]), made[0])

    def answer(images: np.ndarray) -> np.ndarray:
        rows = []
        # A file for any number is asked one by one: its memory is for one.
        step = max(batch, 1)
        if side < 0:
            shape = (step, *images.shape[1:])
            interpreter.resize_tensor_input(given[0]["index"], shape)
            interpreter.allocate_tensors()
        for first in range(0, len(images), step):
            part = images[first : first + step]
            filled = np.resize(part, (step, *part.shape[1:]))
            rows.append(ask(filled)[: len(part)])
        return np.concatenate(rows)

    outputs = int(made[0]["shape"][-1])
    return ExportedModel("tflite", side if side > 0 else None, outputs, answer)


def _quantize(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Returns real values as a TFLite tensor holds them."""
    dtype = details["dtype"]
    if np.issubdtype(dtype, np.floating):
        return values.astype(dtype)
    scale, zero = details["quantization"]
    limits = np.iinfo(dtype)
    steps = np.round(values / (scale or 1.0) + zero)
    return np.asarray(np.clip(steps, limits.min, limits.max), dtype)


def _dequantize(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Returns the real values that a TFLite tensor stands for."""
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float32)
    scale, zero = details["quantization"]
    return np.asarray((values.astype(np.float32) - zero) * (scale or 1.0), np.float32)
