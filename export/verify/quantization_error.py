"""Where in a quantized TFLite file accuracy is lost: every tensor against float32.

Both files are run without a delegate, whose inner tensors could not be seen, and with
all tensors kept. The errors add up on the way through the network; where one tensor
stands out against its neighbors, it is its own operator that loses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from ..convert.tflite import made_by as operators_of
from .isolated_runner import quantize

# It moves numbers and changes none: its tensor would stand there twice.
_RESHAPE = "RESHAPE"


@dataclass(frozen=True)
class LayerError:
    """One tensor of a file.

    Attributes:
        tensor: Its name: the Keras layer and the operation within.
        operator: What makes it.
        type: As the file holds it.
        error: Root mean square of the difference from float32, as a share of the
            root mean square of float32's values.
        least: Smallest value in float32.
        most: Largest value in float32.
        step: What one step of an integer type stands for; `None` of other types.
    """

    tensor: str
    operator: str
    type: str
    error: float
    least: float
    most: float
    step: float | None


def measure(exact: bytes, file: bytes, images: np.ndarray) -> list[LayerError]:
    """Returns the errors of the tensors that two files share, in the order of work.

    Args:
        exact: A TFLite file of float32.
        file: One of the same network in another precision.
        images: What both are asked about, float32 `(count, size_px, size_px, 3)`,
            0..255.
    """
    exact_names = set(operators_of(exact))
    made_by = {
        name: operator
        for name, operator in operators_of(file).items()
        if operator != _RESHAPE
    }
    runs = zip(_runs(exact, images), _runs(file, images), strict=True)
    squares: dict[str, list[float]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    described: dict[str, Any] = {}
    for (wanted, _), (found, details) in runs:
        described = details
        for name in made_by:
            if name not in exact_names or wanted[name].shape != found[name].shape:
                continue
            value, lost = wanted[name], wanted[name] - found[name]
            total = squares.setdefault(name, [0.0, 0.0])
            total[0] += float(np.sum(value**2, dtype=np.float64))
            total[1] += float(np.sum(lost**2, dtype=np.float64))
            least, most = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = min(least, float(value.min())), max(most, float(value.max()))
    return [
        LayerError(
            tensor=_readable(name),
            operator=made_by[name],
            type=described[name]["dtype"].__name__,
            error=float(np.sqrt(lost / value)) if value else 0.0,
            least=ranges[name][0],
            most=ranges[name][1],
            step=described[name]["quantization"][0] or None,
        )
        for name, (value, lost) in squares.items()
    ]


def _readable(name: str) -> str:
    """Returns a tensor's name without the model's and without what was fused."""
    first = name.partition(";")[0]
    return first.partition("/")[2] or first


def _runs(
    contents: bytes, images: np.ndarray
) -> Iterator[tuple[dict[str, np.ndarray], dict[str, Any]]]:
    """Yields all tensors' values, as float32, and their descriptions, by name."""
    interpreter = Interpreter(
        model_content=contents,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    given = interpreter.get_input_details()[0]
    batch = given["shape"][0]
    interpreter.allocate_tensors()
    made = operators_of(contents)
    described = {
        detail["name"]: detail
        for detail in interpreter.get_tensor_details()
        if detail["name"] in made
    }
    for image in images:
        several = np.repeat(image[None], batch, axis=0)
        interpreter.set_tensor(given["index"], quantize(several, given))
        interpreter.invoke()
        values = {
            name: _real(interpreter.get_tensor(detail["index"]), detail)
            for name, detail in described.items()
        }
        yield values, described


def _real(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Returns the numbers that a tensor's steps stand for, float32."""
    scale, zero = detail["quantization"]
    if not scale:
        return values.astype(np.float32)
    return (values.astype(np.float32) - zero) * np.float32(scale)
