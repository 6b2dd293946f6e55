"""Writes the files of a network, one for each format and precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..export_error import ExportError
from ..model.loaded_model import Source
from . import onnx_file, openvino_ir, tflite, tflite_metadata
from .description import Description, as_texts, describe, packed_names
from .precisions import PRECISIONS, Precision
from .web import site


@dataclass(frozen=True)
class Basis:
    """What the files are made from.

    Attributes:
        source: What is exported.
        network: Its forward pass.
        of_numbers: What each output is, where classes are told by their numbers.
        images: Those of the calibration, float32 `(count, size_px, size_px, 3)` in
            0..255, if a precision needs them.
        batch: Images that a file takes in a call; `None` for any number.
        any_size: Whether a file leaves height and width open.
    """

    source: Source
    network: Any
    of_numbers: Mapping[str, str]
    images: np.ndarray | None
    batch: int | None
    any_size: bool

    @cached_property
    def exact(self) -> bytes:
        """The TFLite file in float32, which other files are made from."""
        return tflite.convert(
            self.network,
            PRECISIONS["float32"],
            batch=self.batch,
            any_size=self.any_size,
        )

    @cached_property
    def description(self) -> Description:
        """What the files say of themselves."""
        return describe(self.source, self.of_numbers)

    @property
    def texts(self) -> dict[str, str]:
        """The same by name."""
        return as_texts(self.source, self.description)


@dataclass(frozen=True)
class Written:
    """A file that was written.

    Attributes:
        place: Its name.
        inputs: What it takes, by the input's name.
        operators: The names of those in it.
        beside: The names of files that it cannot do without.
        outputs: What a TFLite file gives, by the output's name.
        contents: Of a TFLite file, before it was described.
    """

    place: str
    inputs: dict[str, str]
    operators: list[str]
    beside: tuple[str, ...] = field(default=())
    outputs: dict[str, str] = field(default_factory=dict)
    contents: bytes | None = None


def write(basis: Basis, called: str, precision: Precision, folder: Path) -> Written:
    """Writes a file into a folder.

    Args:
        basis: What it is made from.
        called: The format.
        precision: Of the file.
        folder: Where to.

    Raises:
        ExportError: The converter refuses the network, or leaves operators in the file
            that a runtime would have to bring along.
    """
    return _WRITERS[called](basis, precision, folder)


def _write_tflite(basis: Basis, precision: Precision, folder: Path) -> Written:
    contents = basis.exact
    if precision != PRECISIONS["float32"]:
        contents = tflite.convert(
            basis.network,
            precision,
            basis.images,
            basis.batch,
            basis.any_size,
            contents,
        )
    file = folder / f"model_{precision.name}.tflite"
    builtin, other = tflite.operators(contents)
    if other:
        raise ExportError(
            f"{file.name} needs operators that are not TFLite's own: {', '.join(other)}"
        )
    file.write_bytes(tflite_metadata.with_metadata(contents, basis.description))
    tflite.pack(file, packed_names(basis.source))
    dtype = tflite.input_type(precision)
    return Written(
        file.name,
        _inputs(basis, dtype),
        builtin,
        outputs=tflite.outputs(contents),
        contents=contents,
    )


def _write_web(basis: Basis, precision: Precision, folder: Path) -> Written:
    place = folder / "web"
    place.mkdir()
    written = _write_tflite(basis, precision, place)
    source = basis.source
    beside = site.write(
        place / written.place, source.labels, source.preprocessing, source.meaning.kind
    )
    return replace(
        written,
        place=f"web/{written.place}",
        beside=tuple(f"web/{name}" for name in beside),
    )


def _write_openvino(basis: Basis, precision: Precision, folder: Path) -> Written:
    file = folder / f"model_{precision.name}.xml"
    operators = openvino_ir.write(
        basis.exact, precision, basis.images, basis.texts, file
    )
    dtype = "uint8" if precision.calibrated else "float32"
    weights = file.with_suffix(".bin").name
    return Written(file.name, _inputs(basis, dtype), operators, (weights,))


def _write_onnx(basis: Basis, precision: Precision, folder: Path) -> Written:
    file = folder / f"model_{precision.name}.onnx"
    operators = onnx_file.write(
        basis.network, precision, basis.batch, basis.any_size, basis.texts, file
    )
    return Written(file.name, _inputs(basis, "float32"), operators)


_WRITERS: dict[str, Callable[[Basis, Precision, Path], Written]] = {
    "tflite": _write_tflite,
    "openvino": _write_openvino,
    "onnx": _write_onnx,
    "web": _write_web,
}


# What stands for a pixel of 0..255 where it is not itself.
_PIXELS = {"int8": "-128..127, 128 less than the pixel"}


def _inputs(basis: Basis, dtype: str) -> dict[str, str]:
    side = basis.source.preprocessing.size_px
    size = "height, width" if basis.any_size else f"{side}, {side}"
    return {
        "tensors": f"{dtype} ({basis.batch or 'batch'}, {size}, 3) in "
        f"{_PIXELS.get(dtype, '0..255')}, resized and cropped"
    }
