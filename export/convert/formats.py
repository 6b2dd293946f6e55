"""The formats of exported files: what each can hold, and what it takes to write it."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from keras_convnext._messages import UsageError


@dataclass(frozen=True)
class Format:
    """What can be written in a format.

    Attributes:
        name: As the command line has it; of what needs other packages, also of the
            extra that brings them.
        precisions: What its files may hold; empty where all of them are float32.
        packages: The packages that write and run it besides this project's own.
        program: What else it takes, and what brings that; empty for nothing.
        one_precision: Whether a folder holds one file of it alone.
    """

    name: str
    precisions: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    program: str = ""
    one_precision: bool = False


FORMATS = {
    each.name: each
    for each in (
        Format("saved_model"),
        Format(
            "tflite",
            ("float32", "float16", "dynamic_int8", "int8", "int16x8", "integer"),
        ),
        Format(
            "openvino",
            ("float32", "bfloat16", "float16", "int8"),
            ("openvino", "nncf"),
        ),
        Format("onnx", ("float32", "float16"), ("onnx", "onnxruntime", "tf2onnx")),
        Format(
            "web",
            ("float32", "float16", "dynamic_int8"),
            program="npm",
            one_precision=True,
        ),
    )
}
# What is written where nobody says.
USUAL = ("saved_model", "tflite")


def in_files(formats: Sequence[str]) -> list[str]:
    """Returns those of the formats whose files come in several precisions."""
    return [name for name in formats if FORMATS[name].precisions]


def refuse_unwritable(formats: Sequence[str], precisions: Sequence[str]) -> None:
    """Checks that formats have the precisions, and that their packages are there.

    Args:
        formats: Their names.
        precisions: Likewise.

    Raises:
        UsageError: They have not, or one is missing.
    """
    for name in in_files(formats):
        known = FORMATS[name].precisions
        unknown = [each for each in precisions if each not in known]
        if unknown:
            raise UsageError(
                f"--precision: {name} has no {' and no '.join(unknown)}; it has "
                f"{', '.join(known)}. Export other formats by a command of their own"
            )
        if FORMATS[name].one_precision and len(precisions) > 1:
            raise UsageError(
                f"--precision={','.join(precisions)}: --format={name} holds one model; "
                "choose one precision"
            )
        program = FORMATS[name].program
        if program and shutil.which(program) is None:
            raise UsageError(
                f"--format={name} needs {program}, which fetches the browser's runtime "
                "while exporting: install Node.js"
            )
        for package in FORMATS[name].packages:
            if importlib.util.find_spec(package) is None:
                raise UsageError(
                    f"--format={name} needs {package}: "
                    f"pip install 'keras-convnext[{name}]'"
                )
