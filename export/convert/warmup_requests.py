"""Warm-up requests: what TensorFlow Serving asks a version before clients may.

The first call of a signature takes many times as long as the others. A server that
finds `assets.extra/tf_serving_warmup_requests` makes those calls while it loads.

The records are `tensorflow.serving.PredictionLog` messages. They are put together here
by hand, so that exporting does not need the package with the servers' protocols.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from .signatures import EXAMPLE_IMAGE

PLACE = Path("assets.extra", "tf_serving_warmup_requests")

# Field numbers. Source: tensorflow_serving/apis: prediction_log.proto, predict.proto,
# model.proto; a map's entries have key 1 and value 2.
_LOG_PREDICT = 6
_PREDICT_REQUEST = 1
_REQUEST_MODEL, _REQUEST_INPUTS = 1, 2
_MODEL_NAME, _MODEL_SIGNATURE = 1, 3
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_LENGTH_DELIMITED = 2

_Value = np.ndarray | list[bytes]


def _varint(value: int) -> bytes:
    """Returns a number seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def _field(number: int, contents: bytes) -> bytes:
    """Returns a field of a protocol buffer that holds a string or a message."""
    tag = _varint(number << 3 | _LENGTH_DELIMITED)
    return tag + _varint(len(contents)) + contents


def _log(model: str, signature: str, name: str, value: _Value) -> bytes:
    """Returns a PredictionLog with a request of one input."""
    tensor = tf.make_tensor_proto(value).SerializeToString()
    entry = _field(_ENTRY_KEY, name.encode()) + _field(_ENTRY_VALUE, tensor)
    spec = _field(_MODEL_NAME, model.encode())
    spec += _field(_MODEL_SIGNATURE, signature.encode())
    request = _field(_REQUEST_MODEL, spec) + _field(_REQUEST_INPUTS, entry)
    return _field(_LOG_PREDICT, _field(_PREDICT_REQUEST, request))


def write(
    folder: Path, model: str, size_px: int, default: str, signatures: Collection[str]
) -> None:
    """Writes a request for each signature into a SavedModel.

    Args:
        folder: The SavedModel.
        model: What the server calls the model.
        size_px: Side of the images.
        default: Which signature is `serving_default`.
        signatures: The names of those that there are.
    """
    image = np.full((size_px, size_px, 3), 127, np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="JPEG")
    tensors = image[None].astype(np.float32)
    example = tf.train.Example()
    example.features.feature[EXAMPLE_IMAGE].bytes_list.value.append(file.getvalue())
    inputs: dict[str, tuple[str, _Value]] = {
        "bytes": ("image_bytes", [file.getvalue()]),
        "classify": ("inputs", [example.SerializeToString()]),
        "images": ("images", image[None]),
        "tensors": ("tensors", tensors),
        "features": ("tensors", tensors),
    }
    place = folder / PLACE
    place.parent.mkdir()
    with tf.io.TFRecordWriter(str(place)) as records:
        for signature in signatures:
            name, value = inputs.get(signature, inputs[default])
            records.write(_log(model, signature, name, value))
