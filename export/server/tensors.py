"""Arrays from what clients send, and what clients get from arrays.

The rules of the JSON form are TensorFlow Serving's: `instances` has a row for each
image, `inputs` a column for each input; binary values are `{"b64": "..."}`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from .errors import invalid
from .json_values import (
    from_base64,
    from_text,
    is_binary,
    is_too_large,
    shown,
    type_name,
)
from .servable import Arrays, Signature, dtype_name

# What JSON values become tensors of which type; 3 is a float too, 3.5 no integer. The
# types are those that TensorFlow Serving can read from JSON and write to it.
_TAKEN: dict[tf.DType, set[type]] = {
    tf.float32: {int, float},
    tf.float64: {int, float},
    tf.bool: {bool},
    tf.int8: {int},
    tf.int16: {int},
    tf.int32: {int},
    tf.int64: {int},
    tf.uint8: {int},
    tf.uint32: {int},
    tf.uint64: {int},
}


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return from_text(value)
    if is_binary(value):
        return from_base64(value)
    if isinstance(value, dict):
        raise invalid(
            f"JSON Value: {shown(value)} not formatted correctly for base64 data"
        )
    raise _type_error(value, "string")


def _type_error(value: Any, wanted: str) -> Exception:
    return invalid(
        f"JSON Value: {shown(value)} Type: {type_name(value)} "
        f"is not of expected type: {wanted}"
    )


def _array(value: Any, info: Any) -> np.ndarray:
    """Returns a JSON value, nested lists of equal lengths, as an array."""
    cells = np.array(value, dtype=object)
    flat = cells.ravel().tolist()
    for cell in flat:
        if isinstance(cell, list):
            raise invalid(
                f"JSON Value: {shown(cell)} Encountered list at unexpected level or "
                "of unexpected size"
            )
    dtype = tf.dtypes.as_dtype(info.dtype)
    if dtype == tf.string:
        made = np.empty(len(flat), dtype=object)
        made[:] = [_bytes(cell) for cell in flat]
        return made.reshape(cells.shape)
    wanted = dtype_name(info)
    if dtype not in _TAKEN:
        raise invalid(f"Conversion of JSON Value to type: {wanted} is not supported")
    for kind in set(map(type, flat)) - _TAKEN[dtype]:
        raise _type_error(next(cell for cell in flat if type(cell) is kind), wanted)
    try:
        with np.errstate(over="ignore"):
            made = np.array(flat, dtype=dtype.as_numpy_dtype)
    except OverflowError:
        raise invalid(f"A JSON Value is out of the range of type: {wanted}") from None
    if made.dtype.kind == "f":
        for index in np.flatnonzero(np.isinf(made)):
            if not math.isinf(flat[index]) or is_too_large(flat[index]):
                raise invalid(
                    f"Cannot convert JSON value: {shown(flat[index])} to {wanted} "
                    "without loss of precision."
                )
    return made.reshape(cells.shape)


def _rows(rows: Any, signature: Signature) -> Arrays:
    infos = signature.definition.inputs
    if not isinstance(rows, list):
        raise invalid("Excepting 'instances' to be an list/array")
    if not rows:
        raise invalid("No values in 'instances' array")
    named = isinstance(rows[0], dict) and not is_binary(rows[0])
    if not named and len(infos) != 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    for index, row in enumerate(rows):
        if (isinstance(row, dict) and not is_binary(row)) != named:
            wanted, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(
                f"Expecting {wanted} but got {got} at item {index} of input list"
            )
        if named and set(row) != set(infos):
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{shown(row)} keys must be equal to: {','.join(sorted(infos))}"
            )
    if not named:
        (name,) = infos
        return {name: _array(rows, infos[name])}
    return {name: _array([row[name] for row in rows], infos[name]) for name in infos}


def _columns(columns: Any, signature: Signature) -> Arrays:
    infos = signature.definition.inputs
    if not isinstance(columns, dict) or is_binary(columns):
        if len(infos) != 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        (name,) = infos
        return {name: _array(columns, infos[name])}
    for name in infos:
        if name not in columns:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _array(columns[name], infos[name]) for name in infos}


def from_json(document: Mapping[str, Any], signature: Signature) -> Arrays:
    """Returns a predict request's inputs by name.

    Args:
        document: The request: `instances` or `inputs`, and no other form.
        signature: What it asks for.

    Raises:
        Refusal: The request has another form, or values of another type.
    """
    forms = {"instances": _rows, "inputs": _columns}
    given = [form for form in forms if form in document]
    if not given:
        raise invalid("Missing 'inputs' or 'instances' key")
    if not signature.definition.inputs:
        raise invalid(f"Failed to get input map for signature: {signature.name}")
    if len(given) > 1:
        raise invalid(
            "Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist"
        )
    return forms[given[0]](document[given[0]], signature)


def _values(array: np.ndarray, as_bytes: bool) -> Any:
    """Returns an array as nested lists that JSON can hold.

    Raises:
        Refusal: It has a type that JSON has not.
    """
    if array.dtype == object:
        if as_bytes:
            cells = [
                {"b64": base64.b64encode(cell).decode("ascii")}
                for cell in array.ravel().tolist()
            ]
        else:
            cells = [
                c.decode("utf-8", errors="replace") for c in array.ravel().tolist()
            ]
        made = np.empty(len(cells), dtype=object)
        made[:] = cells
        return made.reshape(array.shape).tolist()
    dtype = tf.dtypes.as_dtype(array.dtype)
    if dtype not in _TAKEN:
        raise invalid(f"Failed to write JSON value for tensor type: {dtype.name}")
    if dtype == tf.float32:
        return plain(array)
    return array.tolist()


def plain(array: np.ndarray) -> Any:
    """Returns float32 numbers as nested lists in which 0.1 reads 0.1.

    By way of text: as a number of 64 bits it would be 0.10000000149011612.
    """
    return array.astype(np.str_).astype(np.float64).tolist()


def to_json(outputs: Arrays, document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the JSON object that answers a predict request.

    Args:
        outputs: The outputs by name.
        document: The request, whose form the answer takes.

    Raises:
        Refusal: The outputs do not have a row for each instance, or have values that
            JSON cannot hold.
    """
    listed = {
        name: _values(array, name.endswith("_bytes"))
        for name, array in sorted(outputs.items())
    }
    if "inputs" in document:
        (only,) = listed.values() if len(listed) == 1 else (listed,)
        return {"outputs": only}
    counts = {array.shape[0] if array.ndim else None for array in outputs.values()}
    if len(counts) != 1 or None in counts:
        raise invalid(
            "The outputs have no common batch size; ask with 'inputs' instead of "
            "'instances'"
        )
    if len(listed) == 1:
        (rows,) = listed.values()
        return {"predictions": rows}
    return {
        "predictions": [
            dict(zip(listed, row, strict=True))
            for row in zip(*listed.values(), strict=True)
        ]
    }


def from_proto(name: str, proto: tensor_pb2.TensorProto, most_bytes: int) -> np.ndarray:
    """Returns a tensor of a gRPC request.

    Args:
        name: The input.
        proto: The tensor. One value may stand for all in it, so that its few bytes
            could become any number of them.
        most_bytes: How large the array may be.

    Raises:
        Refusal: It is larger, or it is no tensor.
    """
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
        raise invalid(f"tensor parsing error: {name}: its shape is not complete")
    try:
        dtype = tf.dtypes.as_dtype(proto.dtype)
        size = np.dtype(dtype.as_numpy_dtype).itemsize
    except (TypeError, KeyError):
        raise invalid(f"tensor parsing error: {name}: unknown type") from None
    if math.prod(sizes) * size > most_bytes:
        raise invalid(
            f"tensor parsing error: {name}: a tensor of the shape {sizes} is larger "
            f"than {most_bytes} bytes"
        )
    if dtype == tf.bool and max(proto.tensor_content, default=0) > 1:
        raise invalid(f"tensor parsing error: {name}: a byte of it is no bool")
    try:
        return np.asarray(tf.make_ndarray(proto)).reshape(sizes)
    except Exception as error:
        raise invalid(f"tensor parsing error: {name}: {error}") from None
