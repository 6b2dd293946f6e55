"""Readers of exported files: each gives a function to ask.

Exported files of ours take images in 0..255 and answer with probabilities, with the
class of each pixel, or with objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext._stderr import hold_stderr
from keras_convnext.detection.box_outputs import OUTPUTS

# Which of a SavedModel's signatures is asked, by its output; boxes have classes, too.
_SIGNATURES = {
    "boxes": "images",
    "probabilities": "tensors",
    "number": "tensors",
    "classes": "images",
}
# What a TFLite file gives, by the number of its output's dimensions.
_OUTPUTS = {2: "probabilities", 3: "classes"}


@dataclass(frozen=True)
class ExportedModel:
    """An exported file that was read.

    Attributes:
        kind: "saved_model" or "tflite".
        output: "probabilities", "number", "classes" or "boxes".
        size_px: Side of the images that it takes; None for any.
        outputs: How many classes it has; None where it does not show.
        answer: Maps float32 images `(batch, size_px, size_px, 3)` in 0..255 to
            probabilities, float32 `(batch, outputs)`, to a number each, to the class
            of each pixel, integers `(batch, size_px, size_px)`, or to the dictionary
            of `keras_convnext.MaskRCNN`.
    """

    kind: str
    output: str
    size_px: int | None
    outputs: int | None
    answer: Callable[[np.ndarray], Any]


def read_saved_model(path: Path) -> ExportedModel:
    """Reads a SavedModel's folder.

    Raises:
        ValueError: It has no signature of `_SIGNATURES`.
        OSError: It cannot be read.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    found = [
        (output, called, loaded.signatures[called])
        for output, called in _SIGNATURES.items()
        if called in loaded.signatures
        and output in loaded.signatures[called].structured_outputs
        # The signature for encoded images tells classes by their names.
        and loaded.signatures[called].structured_outputs[output].dtype != tf.string
    ]
    if not found:
        raise ValueError(
            "it has no signature tensors that gives probabilities, as exports of this "
            "project have, and none for images that gives classes of pixels or boxes"
        )
    output, called, signature = found[0]
    [(name, spec)] = signature.structured_input_signature[1].items()

    def answer(images: np.ndarray) -> Any:
        if spec.dtype == tf.uint8:
            images = np.rint(images).astype(np.uint8)
        # By way of `loaded`: a signature alone does not keep its variables alive.
        made = loaded.signatures[called](**{name: tf.constant(images, spec.dtype)})
        if output == "boxes":
            return {each: values.numpy() for each, values in made.items()}
        return np.asarray(made[output])

    outputs = signature.structured_outputs[output].shape[-1]
    outputs = outputs if output == "probabilities" else None
    return ExportedModel("saved_model", output, spec.shape[1], outputs, answer)


def read_tflite(path: Path) -> ExportedModel:
    """Reads a TFLite file.

    Raises:
        ValueError: It is none, or maps images neither to scores nor to label maps nor
            to objects.
    """
    # The runtime announces on stderr which kernels it uses.
    with hold_stderr():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
    given, made = interpreter.get_input_details(), interpreter.get_output_details()
    if len(given) == 1 and len(made) > 1 and interpreter.get_signature_list():
        return _read_detector(interpreter, given[0])
    shapes = [tuple(map(int, each["shape_signature"])) for each in (*given, *made)]
    sizes = [len(shape) for shape in shapes]
    fits = len(given) == len(made) == 1 and sizes[0] == 4 and sizes[1] in _OUTPUTS
    if not fits or shapes[0][-1] != 3 or shapes[0][1] != shapes[0][2]:
        raise ValueError(
            f"it maps {shapes[: len(given)]} to {shapes[len(given) :]}, not one square "
            "RGB image to scores or to classes of its pixels"
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

    output = _OUTPUTS[sizes[1]]
    for signature in interpreter.get_signature_list().values():
        # By their dimensions numbers are probabilities of one class.
        output = "number" if "number" in signature["outputs"] else output
    outputs = int(made[0]["shape"][-1]) if output == "probabilities" else None
    return ExportedModel("tflite", output, side if side > 0 else None, outputs, answer)


def _read_detector(interpreter: Any, given: dict[str, Any]) -> ExportedModel:
    """Reads a TFLite file with several outputs.

    Raises:
        ValueError: They are not those of a detector.
    """
    made = interpreter.get_signature_runner().get_output_details()
    if not set(OUTPUTS) <= set(made):
        raise ValueError(
            f"it gives {', '.join(made)}; a detector gives {', '.join(OUTPUTS)}"
        )
    shape = tuple(map(int, given["shape"]))

    def answer(images: np.ndarray) -> dict[str, np.ndarray]:
        filled = np.resize(_quantize(images, given), shape)
        interpreter.set_tensor(given["index"], filled)
        interpreter.invoke()
        return {
            name: interpreter.get_tensor(details["index"])
            for name, details in made.items()
        }

    return ExportedModel("tflite", "boxes", shape[1], None, answer)


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
