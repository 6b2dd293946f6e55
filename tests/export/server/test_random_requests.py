"""Random requests: the server reads them as a second reading of Serving's rules does.

The second reading of JSON follows json_tensor.cc, value by value and recursively, where
the server's own works on whole arrays; of tensors over gRPC it is TensorFlow itself.
"""

import json
import math
import random

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

pytest.importorskip("tensorflow_serving", reason="needs the extra serve")

from export.server import json_values, tensors
from export.server.errors import Refusal
from export.server.servable import Signature

DOCUMENTS, TENSORS = 3000, 1000
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class Refused(Exception):
    """The second reading does not take it."""


def is_binary(value):
    return isinstance(value, dict) and len(value) == 1 and type(value.get("b64")) is str


def decoded(text):
    """Base64 by its definition: six bits a letter, eight a byte."""
    text = "".join(letter for letter in text if letter not in " \n\t\r\f\v")
    letters = text.rstrip("=.")
    wanted = -len(letters) % 4
    if wanted == 3 or len(text) - len(letters) not in (0, wanted):
        raise Refused
    if set(letters) - set(LETTERS):
        raise Refused
    bits = "".join(f"{LETTERS.index(letter):06b}" for letter in letters)
    whole = len(bits) // 8 * 8
    return bytes(int(bits[at : at + 8], 2) for at in range(0, whole, 8))


def scalar(value, dtype):
    """One value of a tensor, or `Refused`."""
    if dtype == tf.string and is_binary(value):
        return decoded(value["b64"])
    if dtype == tf.string and type(value) is str:
        return value.encode()
    if dtype == tf.bool and type(value) is bool:
        return value
    if dtype == tf.float32 and type(value) in (int, float):
        return float(value)
    if dtype == tf.int32 and type(value) is int and -(2**31) <= value < 2**31:
        return value
    raise Refused


def shape_of(value):
    """Lengths along the first elements."""
    if not isinstance(value, list):
        return []
    return [len(value), *(shape_of(value[0]) if value else [])]


def filled(value, shape, dtype):
    """All values in a row; all lie at the same depth, in lists of the same lengths."""
    if not isinstance(value, list):
        if shape:
            raise Refused
        return [scalar(value, dtype)]
    if not shape or len(value) != shape[0]:
        raise Refused
    return [cell for row in value for cell in filled(row, shape[1:], dtype)]


def tensor(value, dtype):
    shape = shape_of(value)
    return shape, filled(value, shape, dtype)


def from_instances(rows, inputs):
    if not isinstance(rows, list) or not rows:
        raise Refused
    if not isinstance(rows[0], dict) and len(inputs) > 1:
        raise Refused
    named = isinstance(rows[0], dict) and not is_binary(rows[0])
    columns = {name: [] for name in inputs}
    for row in rows:
        if (isinstance(row, dict) and not is_binary(row)) != named:
            raise Refused
        cells = row if named else {min(inputs): row}
        if set(cells) != set(inputs):
            raise Refused
        for name, cell in cells.items():
            columns[name].append(tensor(cell, inputs[name]))
    if any(len({str(shape) for shape, _ in column}) > 1 for column in columns.values()):
        raise Refused
    return {
        name: ([len(rows), *column[0][0]], [cell for row in column for cell in row[1]])
        for name, column in columns.items()
    }


def from_inputs(value, inputs):
    if not isinstance(value, dict) or is_binary(value):
        if len(inputs) > 1:
            raise Refused
        return {name: tensor(value, dtype) for name, dtype in inputs.items()}
    if set(inputs) - set(value):
        raise Refused
    return {name: tensor(value[name], dtype) for name, dtype in inputs.items()}


def second_reading(document, inputs):
    readers = {"instances": from_instances, "inputs": from_inputs}
    if len(document) != 1:
        raise Refused
    ((form, value),) = document.items()
    return readers[form](value, inputs)


DTYPES = (tf.float32, tf.int32, tf.bool, tf.string)
FITTING = {
    tf.float32: [1, 2.5, -3],
    tf.int32: [1, -2],
    tf.bool: [True, False],
    tf.string: ["a", {"b64": "YWI="}, {"b64": " YQ= = "}],
}
ODD = [
    0, 2.5, 1e3, True, None, "é", "", [], [[]], {}, 2**31, -(2**31), 2**70, {"x": 1},
    {"y": 2}, {"b64": "YQ"}, {"b64": "YQ="}, {"b64": 3}, {"b64": "-_"}, {"b64": "Y\nQ"},
    {"x": 1, "b64": "YQ"},
]  # fmt: skip


def some_value(draw, dtype, depth):
    """Nested lists, mostly of equal lengths and of values that fit."""
    if depth <= 0 or draw.random() < 0.1:
        return draw.choice(FITTING[dtype] if draw.random() < 0.95 else ODD)
    length = draw.choice([0, 1, 2, 3]) if draw.random() < 0.2 else 2
    return [some_value(draw, dtype, depth - 1) for _ in range(length)]


def some_document(draw, inputs):
    depth, document = draw.choice([0, 0, 1, 1, 2, 3]), {}
    some_dtype = draw.choice(list(inputs.values()))

    def named(depth):
        return {n: some_value(draw, dtype, depth) for n, dtype in inputs.items()}

    if draw.random() < 0.6:
        document["instances"] = [
            named(depth) if draw.random() < 0.6 else some_value(draw, some_dtype, depth)
            for _ in range(draw.choice([1, 1, 2]))
        ]
    if draw.random() < 0.4:
        document["inputs"] = (
            named(depth + 1)
            if draw.random() < 0.6
            else some_value(draw, some_dtype, depth + 1)
        )
    return document


def test_random_json_is_taken_or_refused_as_the_second_reading_does():
    draw, taken = random.Random(0), 0
    for _ in range(DOCUMENTS):
        names = draw.choice([["x"], ["x"], ["x", "y"], ["b64"], ["b64", "x"]])
        inputs = {name: draw.choice(DTYPES) for name in names}
        definition = meta_graph_pb2.SignatureDef()
        for name, dtype in inputs.items():
            definition.inputs[name].dtype = dtype.as_datatype_enum
        document = some_document(draw, inputs)
        try:
            expected = second_reading(document, inputs)
        except Refused:
            expected = None
        try:
            parsed = json_values.parse(json.dumps(document).encode())
            arrays = tensors.from_json(parsed, Signature("s", definition, None))
            found = {n: (list(a.shape), a.ravel().tolist()) for n, a in arrays.items()}
        except Refusal:
            found = None
        assert found == expected, (inputs, document)
        taken += found is not None
    assert 0.2 < taken / DOCUMENTS < 0.8


CONTENTS = {
    tf.float32: ("float_val", [0.0, 1.5, math.inf]),
    tf.int32: ("int_val", [0, -1, 2**31 - 1]),
    tf.int64: ("int64_val", [0, -(2**63)]),
    tf.uint8: ("int_val", [0, 255]),
    tf.int8: ("int_val", [-128, 127]),
    tf.bool: ("bool_val", [True, False]),
    tf.string: ("string_val", [b"", b"a\xff"]),
    tf.float16: ("half_val", [0, 15360]),
    tf.uint64: ("uint64_val", [0, 2**64 - 1]),
}


def some_tensor(draw):
    """A tensor whose values are as many as its shape says, or nearly."""
    dtype = draw.choice(list(CONTENTS))
    sizes = [draw.choice([1, 2, 3]) for _ in range(draw.choice([0, 1, 1, 2]))]
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    count = max(0, math.prod(sizes) + draw.choice([0, 0, 0, -1]))
    if draw.random() < 0.5:
        field, values = CONTENTS[dtype]
        getattr(proto, field).extend(draw.choice(values) for _ in range(count))
    elif dtype != tf.string:
        length = count * dtype.size + draw.choice([0, 0, 0, 1])
        proto.tensor_content = bytes(draw.choices([0, 1, 1, 1, 255], k=length))
    return proto


def test_random_tensors_are_what_tensorflow_reads():
    draw, taken = random.Random(1), 0
    for _ in range(TENSORS):
        proto = some_tensor(draw)
        dtype = tf.dtypes.as_dtype(proto.dtype)
        try:
            expected = tf.io.parse_tensor(proto.SerializeToString(), dtype)
        except tf.errors.InvalidArgumentError:
            expected = None
        try:
            found = tf.constant(tensors.from_proto("x", proto, 2**20))
        except Refusal:
            found = None
        assert (found is None) == (expected is None), proto
        if found is not None:
            assert found.shape == expected.shape
            # Bytes, since a number that is none does not equal itself.
            assert np.asarray(found).tobytes() == np.asarray(expected).tobytes() or (
                dtype == tf.string and np.array_equal(found, expected)
            )
            taken += 1
    assert 0.2 < taken / TENSORS < 0.95
