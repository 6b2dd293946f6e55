"""Writes TFLite (LiteRT) files: builtin operators, a fixed batch, labels inside."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from keras_convnext._stderr import hold_stderr

from ..export_error import ExportError
from ..model.forward import Network
from . import integer_form, mixed_precision
from .precisions import PRECISIONS, Precision

SIGNATURE = "serving_default"


_NAMES = {
    value: name
    for name, value in vars(schema.BuiltinOperator).items()
    if isinstance(value, int)
}
_TYPES = {value: name for name, value in vars(schema.TensorType).items()}


@dataclass(frozen=True)
class _Setting:
    """What the converter is told for a precision.

    Attributes:
        operators: Which of TFLite's operators may be used.
        weights: Their type where it is not for the converter to choose.
        input_type: Of the input of the converter's file.
        edited_type: Of the file's, where the edit changes it.
    """

    operators: tuple[tf.lite.OpsSet, ...] = (tf.lite.OpsSet.TFLITE_BUILTINS,)
    weights: tf.DType | None = None
    input_type: tf.DType = tf.float32
    edited_type: tf.DType | None = None


# The squares, roots and quotients of V2's GRN have no kernels of 16-bit integers; with
# the second set named they stay float32.
_INT16 = (
    tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
    tf.lite.OpsSet.TFLITE_BUILTINS,
)
_SETTINGS = {
    "float16": _Setting(weights=tf.float16),
    "dynamic_int8": _Setting(),
    "int8": _Setting((tf.lite.OpsSet.TFLITE_BUILTINS_INT8,), input_type=tf.uint8),
    "int16x8": _Setting(_INT16),
    "integer": _Setting(_INT16, edited_type=tf.int8),
}
# What is done to the converter's files, given float32's.
_EDITS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "dynamic_int8": mixed_precision.of_weights,
    "int8": mixed_precision.of_integers,
    "int16x8": mixed_precision.of_integers,
    "integer": integer_form.of_integers_alone,
}


def convert(
    network: Network,
    precision: Precision,
    calibration: np.ndarray | None = None,
    batch: int | None = 1,
    any_size: bool = False,
    exact: bytes | None = None,
) -> bytes:
    """Returns a TFLite file.

    Args:
        network: The forward pass.
        precision: Of the file.
        calibration: Images on which the ranges of activations are measured, float32
            `(count, size_px, size_px, 3)` in 0..255; needed where the precision says.
        batch: Images that the file takes in a call; `None` for any number.
        any_size: Whether a runtime may set the height and width of the input.
        exact: The float32 file of the same arguments, where it has been made already;
            those of 8 bits take some of their weights from it.

    Raises:
        ExportError: The converter refuses the graph, or it has no form of integers.
    """
    edit = _EDITS.get(precision.name)
    if edit is None:
        return _converted(network, precision, None, batch, any_size)
    if exact is None:
        exact = _converted(network, PRECISIONS["float32"], None, batch, any_size)
    made = _converted(network, precision, calibration, batch, any_size)
    return edit(made, exact)


def _converted(
    network: Network,
    precision: Precision,
    calibration: np.ndarray | None,
    batch: int | None,
    any_size: bool,
) -> bytes:
    """Returns a file as the converter makes it."""
    function = tf.function(network.answers, autograph=False)
    concrete = function.get_concrete_function(network.spec(batch, any_size))
    # By way of a SavedModel: from concrete functions the converter may give a file
    # whose answers are not numbers, without a word.
    with tempfile.TemporaryDirectory() as folder, hold_stderr():
        tf.saved_model.save(network, folder, signatures={SIGNATURE: concrete})
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=[SIGNATURE]
        )
        if precision.name in _SETTINGS:
            # Given images, the converter would make integers of any precision.
            measured = calibration if precision.calibrated else None
            _configure(converter, _SETTINGS[precision.name], measured, batch)
        try:
            return bytes(converter.convert())
        except Exception as error:
            reason = str(error).strip().partition("\n")[0][:300]
            raise ExportError(f"the TFLite converter failed: {reason}") from error


def input_type(precision: Precision) -> str:
    """Returns the type of a file's input."""
    setting = _SETTINGS.get(precision.name, _Setting())
    return (setting.edited_type or setting.input_type).name


def _configure(
    converter: tf.lite.TFLiteConverter,
    setting: _Setting,
    calibration: np.ndarray | None,
    batch: int | None,
) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = list(setting.operators)
    converter.inference_input_type = setting.input_type
    if setting.weights is not None:
        converter.target_spec.supported_types = [setting.weights]
    if calibration is not None:
        images = _with_whole_range(calibration)
        size = batch or 1
        converter.representative_dataset = lambda: (
            {"tensors": images[start : start + size]}
            for start in range(0, len(images) - size + 1, size)
        )


def _with_whole_range(images: np.ndarray) -> np.ndarray:
    """Returns the images with a black and a white pixel in the first one.

    The measured range of the input is then 0..255 and its step 1, so that a uint8
    input takes images as they are.
    """
    changed = images.copy()
    changed[0, 0, 0], changed[0, -1, -1] = 0.0, 255.0
    return changed


def pack(path: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Appends lists of names to a TFLite file, as its metadata convention has it.

    The file is then a zip archive as well; runtimes read it as before.

    Args:
        path: The file.
        names: What is in each text file, by its name; a line each.
    """
    if not names:
        return
    with zipfile.ZipFile(path, "a") as archive:
        for name, lines in names.items():
            archive.writestr(name, "\n".join(lines) + "\n")


def operators(contents: bytes) -> tuple[list[str], list[str]]:
    """Returns which operators a TFLite file needs.

    Args:
        contents: The file.

    Returns:
        The names of TFLite's builtin operators in it, and of all others (custom ones,
        which a runtime has to bring along, and TensorFlow's).
    """
    model = schema.Model.GetRootAs(contents)
    builtin, other = set(), set()
    for index in range(model.OperatorCodesLength()):
        name, custom = _operator(model.OperatorCodes(index))
        if custom:
            other.add(custom)
        else:
            builtin.add(name)
    return sorted(builtin), sorted(other)


def outputs(contents: bytes) -> dict[str, str]:
    """Returns the type, shape and steps of what a TFLite file answers, by name.

    Args:
        contents: The file, with one signature.
    """
    model = schema.Model.GetRootAs(contents)
    signature, graph = model.SignatureDefs(0), model.Subgraphs(0)
    told = {}
    for number in range(signature.OutputsLength()):
        output = signature.Outputs(number)
        tensor = graph.Tensors(output.TensorIndex())
        steps, shape = tensor.Quantization(), tensor.ShapeSignatureAsNumpy()
        shape = tensor.ShapeAsNumpy() if tensor.ShapeSignatureIsNone() else shape
        size = ", ".join(str(side) if side >= 0 else "any" for side in shape)
        words = f"{_TYPES[tensor.Type()].lower()} ({size})"
        if steps is not None and steps.ScaleLength():
            words += f", {steps.Scale(0):.9g} a step, {steps.ZeroPoint(0)} for 0"
        told[output.Name().decode()] = words
    return told


def made_by(contents: bytes) -> dict[str, str]:
    """Returns the operator that makes each of a TFLite file's tensors, in order.

    Args:
        contents: The file.
    """
    model = schema.Model.GetRootAs(contents)
    graph = model.Subgraphs(0)
    made = {}
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        name, custom = _operator(model.OperatorCodes(operator.OpcodeIndex()))
        for output in operator.OutputsAsNumpy():
            made[graph.Tensors(int(output)).Name().decode()] = custom or name
    return made


def _operator(code: Any) -> tuple[str, str]:
    """Returns an operator's builtin name, and its own name where it is custom."""
    # Older files have the code in a field of one byte.
    value = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    custom = value == schema.BuiltinOperator.CUSTOM
    return _NAMES[value], code.CustomCode().decode() if custom else ""
