"""Arrays from what clients send, and what clients get from arrays.

The rules of the JSON form are TensorFlow Serving's: `instances` has a row for each
picture, `inputs` a column for each input; binary values are `{"b64": "..."}`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from .errors import invalid
from .servable import Arrays, Signature, dtype_name

# How much of a wrong value is repeated in the message about it.
_SHOWN_CHARACTERS = 80
_JSON_TYPES = {
    type(None): "Null",
    bool: "Bool",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}
# What JSON values become tensors of which kind; 3 is a float too, 3.5 no integer.
_TAKEN: dict[str, set[type]] = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}}


def parse(body: bytes) -> dict[str, Any]:
    """Returns a request's JSON object.

    Raises:
        Refusal: It is no JSON object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except RecursionError:
        raise invalid("JSON Parse error: The document is nested too deeply") from None
    except ValueError as error:
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {_shown(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """Returns which signature a request asks for; empty for the default one."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {_shown(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value)
    except RecursionError:
        text = _JSON_TYPES[type(value)]
    if len(text) > _SHOWN_CHARACTERS:
        return text[:_SHOWN_CHARACTERS] + "..."
    return text


def is_binary(value: Any) -> bool:
    """Returns whether a JSON value stands for bytes."""
    return isinstance(value, dict) and set(value) == {"b64"}


def from_base64(value: Mapping[str, Any]) -> bytes:
    """Returns the bytes that a JSON value stands for.

    Raises:
        Refusal: What it holds is not base64.
    """
    text = value["b64"]
    if not isinstance(text, str):
        raise invalid(
            f"JSON Value: {_shown(value)} not formatted correctly for base64 data"
        )
    # Padding may be left out, and the alphabet for addresses be used.
    padded = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
    try:
        return base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", errors="surrogatepass")
    if is_binary(value):
        return from_base64(value)
    if isinstance(value, dict):
        raise invalid(
            f"JSON Value: {_shown(value)} not formatted correctly for base64 data"
        )
    raise _type_error(value, "string")


def _type_error(value: Any, wanted: str) -> Exception:
    return invalid(
        f"JSON Value: {_shown(value)} Type: {_JSON_TYPES[type(value)]} "
        f"is not of expected type: {wanted}"
    )


def _array(value: Any, info: Any) -> np.ndarray:
    """Returns a JSON value, nested lists of equal lengths, as an array."""
    cells = np.array(value, dtype=object)
    flat = cells.ravel().tolist()
    for cell in flat:
        if isinstance(cell, list):
            raise invalid(
                f"JSON Value: {_shown(cell)} Encountered list at unexpected level or "
                "of unexpected size"
            )
    dtype = tf.dtypes.as_dtype(info.dtype)
    if dtype == tf.string:
        made = np.empty(len(flat), dtype=object)
        made[:] = [_bytes(cell) for cell in flat]
        return made.reshape(cells.shape)
    wanted = dtype_name(info)
    numpy_type = np.dtype(dtype.as_numpy_dtype)
    taken = _TAKEN.get(numpy_type.kind)
    if taken is None:
        raise invalid(f"Conversion of JSON Value to type: {wanted} is not supported")
    for kind in set(map(type, flat)) - taken:
        raise _type_error(next(cell for cell in flat if type(cell) is kind), wanted)
    try:
        with np.errstate(over="ignore"):
            made = np.array(flat, dtype=numpy_type)
    except OverflowError:
        raise invalid(f"A JSON Value is out of the range of type: {wanted}") from None
    if numpy_type.kind == "f":
        # JSON has words for infinity; a number that becomes it was too large.
        for cell, number in zip(flat, made.tolist(), strict=True):
            if math.isinf(number) and not (
                isinstance(cell, float) and math.isinf(cell)
            ):
                raise invalid(
                    f"Cannot convert JSON value: {_shown(cell)} to {wanted} "
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
                f"{_shown(row)} keys must be equal to: {','.join(sorted(infos))}"
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
    if len(given) > 1:
        raise invalid(
            "Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist"
        )
    return forms[given[0]](document[given[0]], signature)


def _values(array: np.ndarray, as_bytes: bool) -> Any:
    """Returns an array as nested lists that JSON can hold."""
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
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        # By way of text: 0.1 in 32 bits shall read 0.1, not 0.10000000149011612.
        return array.astype(np.str_).astype(np.float64).tolist()
    return array.tolist()


def to_json(outputs: Arrays, document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the JSON object that answers a predict request.

    Args:
        outputs: The outputs by name.
        document: The request, whose form the answer takes.

    Raises:
        Refusal: The outputs do not have a row for each instance.
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
    try:
        return np.asarray(tf.make_ndarray(proto)).reshape(sizes)
    except Exception as error:
        raise invalid(f"tensor parsing error: {name}: {error}") from None
