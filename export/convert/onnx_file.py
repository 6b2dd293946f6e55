"""Writes ONNX files of standard operators alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_convnext._stderr import hold_stderr

from ..export_error import ExportError
from .precisions import Precision

# Nothing in these networks needs a newer one, and runtimes since 2022 read it.
OPSET = 17
# A file of protocol buffers cannot be larger.
_MOST_BYTES = 2**31 - 1
# Smaller constants are of norms and shapes; rounding them saves nothing.
_LARGE = 64


def write(
    network: Any,
    precision: Precision,
    batch: int | None,
    any_size: bool,
    texts: Mapping[str, str],
    file: Path,
) -> list[str]:
    """Writes a file.

    Args:
        network: The forward pass.
        precision: Of the file.
        batch: Images that it takes in a call; `None` for any number.
        any_size: Whether height and width are left open.
        texts: What the file says of itself, by name.
        file: Where to.

    Returns:
        The names of the operators in it.

    Raises:
        ExportError: The converter refuses the graph, or the file would be too large.
    """
    import onnx

    model = _converted(network, batch, any_size)
    if precision.name == "float16":
        _round_weights(model)
    onnx.helper.set_model_props(model, dict(texts))
    model.doc_string = texts["description"]
    others = sorted({node.domain for node in model.graph.node if node.domain})
    if others:
        raise ExportError(f"{file.name} needs operators of {', '.join(others)}")
    # The converter names another set of operators, of which it has used none.
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    file.write_bytes(model.SerializeToString())
    onnx.checker.check_model(file, full_check=True)
    return sorted({node.op_type for node in model.graph.node})


def _converted(network: Any, batch: int | None, any_size: bool) -> Any:
    """Returns the model as the converter makes it."""
    stored = sum(4 * int(np.prod(each.shape)) for each in network.stored)
    if stored > _MOST_BYTES:
        raise ExportError(
            f"an ONNX file holds at most 2 GB, and these weights are "
            f"{stored / 1e9:.1f} GB; --format=saved_model has no such limit"
        )
    function = tf.function(network.answers, autograph=False)
    with hold_stderr():
        import tf2onnx

        try:
            model, _ = tf2onnx.convert.from_function(
                function, [network.spec(batch, any_size)], opset=OPSET
            )
        except Exception as error:
            reason = str(error).strip().partition("\n")[0][:300]
            raise ExportError(f"the ONNX converter failed: {reason}") from error
    _fill_in(model, function.get_concrete_function(network.spec(batch, any_size)))
    return model


def _fill_in(model: Any, function: Any) -> None:
    """Lets constants that the converter takes for inputs be constants.

    They are those that a function captures without being variables: mean and deviation
    of a normalization that is not folded.
    """
    from onnx import numpy_helper

    captured = {inner.name: outer for outer, inner in function.graph.captures}
    for given in list(model.graph.input):
        if given.name in captured:
            values = np.asarray(captured[given.name])
            model.graph.initializer.append(numpy_helper.from_array(values, given.name))
            model.graph.input.remove(given)


def _round_weights(model: Any) -> None:
    """Lets weights be float16, made float32 when the file is loaded."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    # Rows are chosen of anchors, whose places would move by up to half a pixel.
    tables = {
        name
        for node in model.graph.node
        if node.op_type == "Gather"
        for name in node.input
    }
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _LARGE or tensor.name in tables:
            continue
        name = tensor.name
        half = numpy_helper.from_array(values.astype(np.float16), f"{name}/float16")
        casts.append(
            helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT)
        )
        tensor.CopyFrom(half)
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
