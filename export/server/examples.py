"""`tf.train.Example`s: what classify and regress take, and what they give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.example import example_pb2, feature_pb2

from .errors import invalid
from .json_values import from_base64, from_text, is_binary, is_too_large
from .servable import Arrays, Signature
from .tensors import plain

INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"


@dataclass(frozen=True)
class Kind:
    """What is done with examples.

    Attributes:
        word: What messages call it.
        outputs: The type of each output that it is made of; a signature has one of
            them at least.
        most: How many outputs a signature may have.
    """

    word: str
    outputs: Mapping[str, tf.DType]
    most: int


CLASSIFICATION = Kind("classification", {CLASSES: tf.string, SCORES: tf.float32}, 2)
REGRESSION = Kind("regression", {OUTPUTS: tf.float32}, 1)


def require(signature: Signature, kind: Kind) -> None:
    """Checks that a signature takes examples and gives what is asked for.

    Args:
        signature: The signature.
        kind: What is asked for.

    Raises:
        Refusal: It has other inputs or outputs.
    """
    definition = signature.definition
    if set(definition.inputs) != {INPUTS}:
        raise invalid(
            f"No {kind.word} inputs found in SignatureDef: {signature.name} takes "
            f"{', '.join(sorted(definition.inputs))}; ask it with predict"
        )
    given = set(definition.outputs)
    if len(given) > kind.most or not set(kind.outputs) & given:
        wanted = " or ".join(f'"{name}"' for name in kind.outputs)
        raise invalid(
            f"Expected {kind.word} signature outputs to contain at least one of "
            f"{wanted}, and {kind.most} at most: {signature.name} gives "
            f"{', '.join(sorted(given))}"
        )


def _feature(name: str, content: Any) -> feature_pb2.Feature:
    """Returns a JSON value, or a list of them, as a feature."""
    values = content if isinstance(content, list) else [content]
    if not values:
        return feature_pb2.Feature()
    kinds = {type(value) for value in values}
    if kinds <= {bool, int}:
        try:
            return feature_pb2.Feature(
                int64_list=feature_pb2.Int64List(value=[int(v) for v in values])
            )
        except ValueError:
            raise invalid(
                f"Feature: {name} has an element out of the range of int64"
            ) from None
    if kinds == {float} and not any(map(is_too_large, values)):
        return feature_pb2.Feature(float_list=feature_pb2.FloatList(value=values))
    if all(isinstance(value, str) or is_binary(value) for value in values):
        contents = [
            from_base64(value) if is_binary(value) else from_text(value)
            for value in values
        ]
        return feature_pb2.Feature(bytes_list=feature_pb2.BytesList(value=contents))
    raise invalid(
        f"Feature: {name} has an element with unexpected JSON type, or elements of "
        "several types"
    )


def _example(features: Any) -> example_pb2.Example:
    if not isinstance(features, Mapping):
        raise invalid("Example must be JSON object")
    return example_pb2.Example(
        features=feature_pb2.Features(
            feature={name: _feature(name, value) for name, value in features.items()}
        )
    )


def from_json(document: Mapping[str, Any]) -> list[bytes]:
    """Returns a classify request's examples, serialized.

    Args:
        document: The request, with `examples` and perhaps `context`.

    Raises:
        Refusal: It has another form.
    """
    if "examples" not in document:
        raise invalid(
            "When method is classify, key 'examples' is expected and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid("Expecting 'examples' value to be an list/array")
    if not examples:
        raise invalid("'examples' value is an empty array")
    context = _example(document["context"]) if "context" in document else None
    return _with_context(map(_example, examples), context)


def from_proto(proto: Any) -> list[bytes]:
    """Returns the examples of a gRPC request's input, serialized.

    Args:
        proto: A `tensorflow.serving.Input`.

    Raises:
        Refusal: There are none.
    """
    context = None
    if proto.WhichOneof("kind") == "example_list_with_context":
        given = proto.example_list_with_context
        context = given.context
    else:
        given = proto.example_list
    if not given.examples:
        raise invalid("Input is empty.")
    return _with_context(given.examples, context)


def _with_context(
    examples: Iterable[example_pb2.Example], context: example_pb2.Example | None
) -> list[bytes]:
    """Returns examples that have the context's features too, theirs first."""
    serialized = []
    for example in examples:
        whole = example_pb2.Example()
        if context is not None:
            whole.CopyFrom(context)
        for name, feature in example.features.feature.items():
            whole.features.feature[name].CopyFrom(feature)
        serialized.append(whole.SerializeToString())
    return serialized


def tensor(serialized: Sequence[bytes]) -> Arrays:
    """Returns the input of a signature that takes examples."""
    array = np.empty(len(serialized), dtype=object)
    array[:] = list(serialized)
    return {INPUTS: array}


def _found(outputs: Arrays, kind: Kind, count: int) -> dict[str, np.ndarray]:
    """Returns the outputs that a kind of answer consists of.

    Raises:
        Refusal: One of them has another type, or not a row for each example.
    """
    found = {name: outputs[name] for name in kind.outputs if name in outputs}
    for name, array in found.items():
        given, wanted = tf.dtypes.as_dtype(array.dtype), kind.outputs[name]
        if given != wanted or array.shape[:1] != (count,):
            raise invalid(
                f"Expected {kind.word} output {name} to be {wanted.name} with a row "
                f"for each of {count} examples, got {given.name} of the shape "
                f"{list(array.shape)}"
            )
    return found


def classes(outputs: Arrays, count: int) -> list[list[tuple[str, float]]]:
    """Returns label and score of each class of each example.

    Args:
        outputs: `classes`, strings `(batch, k)`, and `scores`, float32 `(batch, k)`;
            one of them may be missing.
        count: How many examples there were.

    Raises:
        Refusal: The outputs have other shapes or types.
    """
    found = _found(outputs, CLASSIFICATION, count)
    shapes = {array.shape for array in found.values()}
    if len(shapes) != 1 or any(len(shape) != 2 for shape in shapes):
        raise invalid(
            "Expected classes and scores of the shape [batch_size, number_of_classes], "
            f"got {[list(array.shape) for array in found.values()]}"
        )
    (shape,) = shapes
    labels = found.get(CLASSES, np.full(shape, b"", dtype=object))
    scores = found.get(SCORES, np.zeros(shape, np.float32))
    return [
        [
            (label.decode("utf-8", errors="replace"), score)
            for label, score in zip(*row, strict=True)
        ]
        for row in zip(labels, plain(scores), strict=True)
    ]


def values(outputs: Arrays, count: int) -> list[float]:
    """Returns the value of each example.

    Args:
        outputs: `outputs`, float32 `(batch,)` or `(batch, 1)`.
        count: How many examples there were.

    Raises:
        Refusal: The output has another shape or type.
    """
    array = _found(outputs, REGRESSION, count)[OUTPUTS]
    if array.shape not in ((count,), (count, 1)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            f"but got {list(array.shape)}"
        )
    return plain(array.reshape(count))
