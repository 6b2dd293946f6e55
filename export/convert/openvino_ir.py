"""Writes OpenVINO's files: a model as XML, and its weights beside it.

They are made from the float32 TFLite file, which there is a converter for already;
OpenVINO computes it as fast as our ONNX file (docs/reference/measurements.md).
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_convnext._stderr import hold_stderr

from ..export_error import ExportError
from .precisions import Precision
from .tflite_metadata import output_names

# The section of the file with what it says of itself.
SECTION = "export"
# In which arithmetic it is meant to be run. Without being told, OpenVINO takes bfloat16
# wherever the processor has it, and no file can tell it.
HINT = "INFERENCE_PRECISION_HINT"
_HINTS = {"bfloat16": "bf16"}
# Smaller constants are of norms and shapes; rounding them saves nothing.
_LARGE = 64


def write(
    exact: bytes,
    precision: Precision,
    images: np.ndarray | None,
    texts: Mapping[str, str],
    file: Path,
) -> list[str]:
    """Writes a file, and its weights beside it with the ending .bin.

    Args:
        exact: The network as a TFLite file in float32.
        precision: Of the file.
        images: Those of the calibration, float32 `(count, size_px, size_px, 3)` in
            0..255; needed where the precision says.
        texts: What the file says of itself, by name.
        file: Where to, with the ending .xml.

    Returns:
        The names of the operators in it.

    Raises:
        ExportError: OpenVINO or NNCF refuses the network.
    """
    import openvino

    change = _CHANGES.get(precision.name, lambda model, images: model)
    try:
        model = change(_read(exact), images)
    # They let through whatever they raise.
    except Exception as error:
        reason = str(error).strip().replace("\n", " ")[:300]
        raise ExportError(
            f"{file.name} cannot be made by OpenVINO: {reason}"
        ) from error
    for name, text in {**texts, HINT: _HINTS.get(precision.name, "f32")}.items():
        model.set_rt_info(text, [SECTION, name])
    # The one change that saving itself makes; it would make it unasked.
    is_half = precision.name == "float16"
    openvino.save_model(model, file, compress_to_fp16=is_half)
    return sorted({operator.get_type_name() for operator in model.get_ops()})


def _read(exact: bytes) -> Any:
    """Returns OpenVINO's model of a TFLite file, with the names of its signature."""
    import openvino

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder, "model.tflite")
        file.write_bytes(exact)
        model = openvino.Core().read_model(file)
    described = schema.ModelT.InitFromObj(schema.Model.GetRootAs(exact))
    model.input().tensor.set_names({"tensors"})
    for output, name in zip(model.outputs, output_names(described), strict=True):
        output.tensor.set_names({name})
    return model


def _with_bfloat16_weights(model: Any, images: np.ndarray | None) -> Any:
    """Returns the model with weights in bfloat16, made float32 when it is loaded."""
    import openvino
    from openvino import opset15 as operators

    float32, bfloat16 = openvino.Type.f32, openvino.Type.bf16
    for constant in model.get_ops():
        if constant.get_type_name() != "Constant":
            continue
        if constant.get_element_type() != float32 or constant.data.size < _LARGE:
            continue
        rounded = operators.constant(constant.data, dtype=bfloat16)
        real = operators.convert(rounded, "f32").output(0)
        for user in constant.output(0).get_target_inputs():
            user.replace_source_output(real)
    return model


def _in_integers(model: Any, images: np.ndarray | None) -> Any:
    """Returns the model in integers of 8 bits that takes images of uint8."""
    import openvino

    # It would report its use over the internet.
    os.environ["NNCF_CI"] = "1"
    assert images is not None
    batch = max(model.input().partial_shape[0].get_min_length(), 1)
    groups = [
        images[start : start + batch]
        for start in range(0, len(images) - batch + 1, batch)
    ]
    # Its bars of progress go to stdout, which is for the table of files.
    with hold_stderr(), contextlib.redirect_stdout(io.StringIO()):
        import nncf

        model = nncf.quantize(
            model,
            nncf.Dataset(groups),
            subset_size=len(groups),
            # The residual sums of these networks are more like a transformer's.
            model_type=nncf.ModelType.TRANSFORMER,
            ignored_scope=nncf.IgnoredScope(names=_kept(model)),
        )
    prepared = openvino.preprocess.PrePostProcessor(model)
    prepared.input().tensor().set_element_type(openvino.Type.u8)
    return prepared.build()


def _kept(model: Any) -> list[str]:
    """Returns the names of the operators that stay float32 among integers.

    They are the strided convolutions and what gives the classes: of ConvNeXt-T's error
    three quarters were theirs, and 7 % of its time. TFLite's files keep them, too.
    """
    operators = model.get_ordered_ops()
    products, convolutions = (
        [each for each in operators if each.get_type_name() == kind]
        for kind in ("MatMul", "Convolution")
    )
    strided = [
        each for each in convolutions if max(each.get_attributes()["strides"]) > 1
    ]
    # Pixels get their classes from a convolution.
    last = [*convolutions[-1:], *products[-1:]]
    return [each.get_friendly_name() for each in (*strided, *last)]


_CHANGES: dict[str, Callable[[Any, np.ndarray | None], Any]] = {
    "bfloat16": _with_bfloat16_weights,
    "int8": _in_integers,
}
