"""TFLITE_METADATA: what a TFLite file takes and gives, for MediaPipe and its like.

A flatbuffer of its own inside of the file, after the published schema
(metadata_schema.fbs of tflite-support and MediaPipe, identifier M001). No package that
this project needs has that schema, so the few tables in use are written by their
numbers, which published schemas never change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from .description import Description

NAME = b"TFLITE_METADATA"
_IDENTIFIER = b"M001"
_MODEL_IDENTIFIER = b"TFL3"
# The oldest parser that knows all that is written here.
_MIN_PARSER_VERSION = "1.0.0"
# Numbers of enumerations and of members of unions in the schema.
_TENSOR_AXIS_LABELS, _TENSOR_VALUE_LABELS = 2, 3
_RGB = 1
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2
_NORMALIZATION_OPTIONS = 1

_Writer = Callable[[flatbuffers.Builder, int], None]


def with_metadata(contents: bytes, description: Description) -> bytes:
    """Returns a TFLite file that describes itself.

    Args:
        contents: The file, with one input of images in 0..255.
        description: What to say of it.

    Returns:
        The file; unchanged where it is so large that its weights lie behind the
        flatbuffer, at places that a longer flatbuffer would move.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(contents))
    if any(buffer.offset > 1 for buffer in model.buffers):
        return contents
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(_packed(description, output_names(model)), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(contents))
    builder.Finish(model.Pack(builder), file_identifier=_MODEL_IDENTIFIER)
    return bytes(builder.Output())


def output_names(model: Any) -> list[str]:
    """Returns the names of a file's outputs, in its order.

    Args:
        model: The file, a `ModelT` with one signature.
    """
    (signature,) = model.signatureDefs
    names = {each.tensorIndex: each.name.decode() for each in signature.outputs}
    return [names[int(tensor)] for tensor in model.subgraphs[0].outputs]


def _packed(description: Description, outputs: Sequence[str]) -> bytes:
    """Returns the flatbuffer ModelMetadata."""
    builder = flatbuffers.Builder(1024)
    string = builder.CreateString
    if description.of_numbers:
        made = [_numbers(builder, description, name) for name in outputs]
    else:
        made = [_output(builder, description)]
    graph = _table(
        builder,
        {
            2: _offset(_vector(builder, [_input(builder, description)])),
            3: _offset(_vector(builder, made)),
        },
    )
    fields = {
        0: _offset(string(description.name)),
        1: _offset(string(description.description)),
        3: _offset(_vector(builder, [graph])),
        7: _offset(string(_MIN_PARSER_VERSION)),
    }
    if description.license:
        fields[5] = _offset(string(description.license))
    builder.Finish(_table(builder, fields), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _input(builder: flatbuffers.Builder, description: Description) -> int:
    """Writes TensorMetadata of the images."""
    side = description.size_px
    size = _table(builder, {0: _uint32(side), 1: _uint32(side)})
    properties = _table(builder, {0: _int8(_RGB), 1: _offset(size)})
    content = _table(builder, {0: _uint8(_IMAGE_PROPERTIES), 1: _offset(properties)})
    # Images go in as they are: what normalizes them is in the graph.
    options = _table(
        builder,
        {0: _offset(_floats(builder, [0.0])), 1: _offset(_floats(builder, [1.0]))},
    )
    unit = _table(builder, {0: _uint8(_NORMALIZATION_OPTIONS), 1: _offset(options)})
    return _tensor(
        builder,
        ("image", description.image),
        content,
        (0.0, 255.0),
        {4: _offset(_vector(builder, [unit]))},
    )


def _output(builder: flatbuffers.Builder, description: Description) -> int:
    """Writes TensorMetadata of scores of classes, or of features."""
    content = _features(builder)
    if not description.labels_name:
        return _tensor(builder, ("features", description.outputs), content, None, {})
    words = ("probability", description.outputs)
    files = _labels(builder, description, _TENSOR_AXIS_LABELS)
    return _tensor(builder, words, content, (0.0, 1.0), files)


def _numbers(builder: flatbuffers.Builder, description: Description, name: str) -> int:
    """Writes TensorMetadata of an output beside, or of, numbers of classes."""
    content, files = _features(builder), {}
    if name == "classes" and description.labels_name:
        files = _labels(builder, description, _TENSOR_VALUE_LABELS)
    words = (name, description.of_numbers[name])
    return _tensor(builder, words, content, None, files)


def _features(builder: flatbuffers.Builder) -> int:
    properties = _table(builder, {})
    return _table(builder, {0: _uint8(_FEATURE_PROPERTIES), 1: _offset(properties)})


def _labels(
    builder: flatbuffers.Builder, description: Description, kind: int
) -> dict[int, _Writer]:
    """Writes which file names the classes, and returns what points to it."""
    file = _table(
        builder,
        {
            0: _offset(builder.CreateString(description.labels_name)),
            1: _offset(builder.CreateString("A class name for each output.")),
            2: _int8(kind),
        },
    )
    return {6: _offset(_vector(builder, [file]))}


def _tensor(
    builder: flatbuffers.Builder,
    words: tuple[str, str],
    content: int,
    limits: tuple[float, float] | None,
    more: dict[int, _Writer],
) -> int:
    """Writes TensorMetadata: name and description, content, range, and what else."""
    name, description = map(builder.CreateString, words)
    fields = {0: _offset(name), 1: _offset(description), 3: _offset(content), **more}
    if limits is not None:
        least, most = (_floats(builder, [limit]) for limit in limits)
        fields[5] = _offset(_table(builder, {0: _offset(most), 1: _offset(least)}))
    return _table(builder, fields)


def _table(builder: flatbuffers.Builder, fields: dict[int, _Writer]) -> int:
    """Writes a table and returns where it is.

    Args:
        builder: What to write to; what the fields point to is written already.
        fields: What writes each field, by the field's number.
    """
    builder.StartObject(max(fields, default=-1) + 1)
    for slot, write in fields.items():
        write(builder, slot)
    return int(builder.EndObject())


def _vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> int:
    return int(builder.CreateNumpyVector(np.asarray(values, np.float32)))


def _offset(offset: int) -> _Writer:
    return lambda builder, slot: builder.PrependUOffsetTRelativeSlot(slot, offset, 0)


def _int8(value: int) -> _Writer:
    return lambda builder, slot: builder.PrependInt8Slot(slot, value, 0)


def _uint8(value: int) -> _Writer:
    return lambda builder, slot: builder.PrependUint8Slot(slot, value, 0)


def _uint32(value: int) -> _Writer:
    return lambda builder, slot: builder.PrependUint32Slot(slot, value, 0)
