"""TensorFlow Serving's file of batching parameters.

Its message is not in the package with the servers' protocols, so it is described here:
the fields' names and types, which is all that the text form needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from .batching import Parameters
from .errors import invalid

_INT = ".google.protobuf.Int64Value"
_BOOL = ".google.protobuf.BoolValue"
_TEXT = ".google.protobuf.StringValue"
# Source: session_bundle_config.proto of TensorFlow Serving.
_WRAPPED = {
    "max_batch_size": _INT,
    "batch_timeout_micros": _INT,
    "max_enqueued_batches": _INT,
    "num_batch_threads": _INT,
    "thread_pool_name": _TEXT,
    "enable_large_batch_splitting": _BOOL,
    "max_execution_batch_size": _INT,
}
_READ = (
    "max_batch_size",
    "batch_timeout_micros",
    "max_enqueued_batches",
    "num_batch_threads",
)


def _message_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="keras_convnext/batching_parameters.proto",
        package="keras_convnext.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name="BatchingParameters")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, (name, type_name) in enumerate(_WRAPPED.items(), start=1):
        message.field.add(
            name=name,
            number=number,
            label=kinds.LABEL_OPTIONAL,
            type=kinds.TYPE_MESSAGE,
            type_name=type_name,
        )
    for name, kind in (
        ("allowed_batch_sizes", kinds.TYPE_INT64),
        ("pad_variable_length_inputs", kinds.TYPE_BOOL),
    ):
        repeated = name == "allowed_batch_sizes"
        message.field.add(
            name=name,
            number=len(message.field) + 1,
            label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL,
            type=kind,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    found = pool.FindMessageTypeByName("keras_convnext.serving.BatchingParameters")
    return message_factory.GetMessageClass(found)


def read(file: Path) -> Parameters:
    """Returns the parameters that a file names, and defaults for the others.

    Args:
        file: `BatchingParameters` as text: `max_batch_size { value: 32 }` and so on.
            What is only about TensorFlow's sessions is read and left.

    Raises:
        Refusal: The file is not a batching configuration.
    """
    try:
        text = file.read_text(encoding="utf-8")
        proto = text_format.Parse(text, _message_class()())
    except OSError as error:
        raise invalid(f"{file}: {error.strerror}") from None
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise invalid(f"{file}: {str(error).splitlines()[0]}") from None
    given = {name: getattr(proto, name).value for name in _READ if proto.HasField(name)}
    for name, value in given.items():
        least = 0 if name == "batch_timeout_micros" else 1
        if value < least:
            raise invalid(f"{file}: {name} is {value}; it must be {least} or more")
    return Parameters(**given)
