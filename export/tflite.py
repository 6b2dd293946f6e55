"""Writes TFLite (LiteRT) files: builtin operators, a fixed batch, labels inside."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from .console import Failure, native_stderr_held
from .network import Network
from .source import LABELS_NAME

BATCH = 1
SIGNATURE = "serving_default"


def convert(network: Network) -> bytes:
    """Returns the float32 file's bytes.

    Args:
        network: The forward pass.

    Raises:
        Failure: The converter refuses the graph.
    """

    def classify(tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": network.probabilities(tensors)}

    function = tf.function(classify, autograph=False)
    concrete = function.get_concrete_function(network.spec(BATCH))
    # By way of a SavedModel: from concrete functions the converter may give a file
    # whose answers are not numbers, without a word.
    with tempfile.TemporaryDirectory() as folder, native_stderr_held():
        tf.saved_model.save(network, folder, signatures={SIGNATURE: concrete})
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=[SIGNATURE]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return converter.convert()
        except Exception as error:
            reason = str(error).strip().partition("\n")[0][:300]
            raise Failure(f"the TFLite converter failed: {reason}") from error


def pack_labels(path: Path, labels: Sequence[str]) -> None:
    """Appends the class names to a TFLite file, as its metadata convention has it.

    The file is then a zip archive as well; runtimes read it as before.

    Args:
        path: The file.
        labels: The class names.
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS_NAME, "\n".join(labels) + "\n")


def operators(contents: bytes) -> tuple[list[str], list[str]]:
    """Returns which operators a TFLite file needs.

    Args:
        contents: The file.

    Returns:
        The names of TFLite's builtin operators in it, and of all others (custom ones,
        which a runtime has to bring along, and TensorFlow's).
    """
    names = {
        value: name
        for name, value in vars(schema.BuiltinOperator).items()
        if isinstance(value, int)
    }
    model = schema.Model.GetRootAs(contents)
    builtin, other = set(), set()
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        # Older files have the code in a field of one byte.
        value = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if value == schema.BuiltinOperator.CUSTOM:
            other.add(code.CustomCode().decode())
        else:
            builtin.add(names[value])
    return sorted(builtin), sorted(other)
