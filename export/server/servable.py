"""One version of a model: a SavedModel in memory, ready to be called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from keras_convnext.inference.sidecars import LABELS

from ..convert.warmup_requests import PLACE as WARM_UP
from .errors import Code, Refusal, invalid

Arrays = dict[str, np.ndarray]
DEFAULT_SIGNATURE = "serving_default"
_GRAPH = "saved_model.pb"
# What the graph for serving is tagged with, and with nothing else.
_TAGS = ["serve"]
# What TensorFlow Serving reads of them.
_MOST_WARM_UPS = 1000


def is_saved_model(folder: Path) -> bool:
    """Returns True if a folder is a SavedModel."""
    return (folder / _GRAPH).is_file()


@dataclass(frozen=True)
class Signature:
    """A function of a SavedModel.

    Attributes:
        name: Its name.
        definition: Its inputs and outputs, as the file describes them.
        function: The function itself.
    """

    name: str
    definition: meta_graph_pb2.SignatureDef
    function: Any

    def require(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Checks inputs before anything is computed.

        Args:
            arrays: The inputs by name.

        Raises:
            Refusal: A name, a type or a shape is not the signature's.
        """
        wanted, given = set(self.definition.inputs), set(arrays)
        if wanted != given:
            raise invalid(
                f"input size does not match signature: {len(given)}!={len(wanted)} "
                f"len({{{_joined(given)}}}) != len({{{_joined(wanted)}}}). "
                f"Sent extra: {{{_joined(given - wanted)}}}. "
                f"Missing but required: {{{_joined(wanted - given)}}}."
            )
        for name, array in arrays.items():
            _require_tensor(name, array, self.definition.inputs[name])

    @property
    def takes_any_batch(self) -> bool:
        """Whether every input's first dimension is left open."""
        return all(
            not info.tensor_shape.unknown_rank
            and len(info.tensor_shape.dim) > 0
            and info.tensor_shape.dim[0].size == -1
            for info in self.definition.inputs.values()
        )

    def run(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """Returns the outputs by name.

        Args:
            arrays: The inputs by name, checked by `require`.
        """
        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        outputs = self.function(**tensors)
        return {name: output.numpy() for name, output in outputs.items()}


def _joined(names: set[str]) -> str:
    return ",".join(sorted(names))


def dtype_name(info: meta_graph_pb2.TensorInfo) -> str:
    """Returns a tensor's type as messages name it: `float`, `string`, `uint8`."""
    name = tf.dtypes.as_dtype(info.dtype).name
    return {"float32": "float", "float64": "double"}.get(name, name)


def _require_tensor(
    name: str, array: np.ndarray, info: meta_graph_pb2.TensorInfo
) -> None:
    given = tf.dtypes.as_dtype(array.dtype)
    if given.as_datatype_enum != info.dtype:
        shown = {"float32": "float", "float64": "double"}.get(given.name, given.name)
        raise invalid(
            f"input {name!r} is expected to be {dtype_name(info)} "
            f"but {shown} is provided"
        )
    if info.tensor_shape.unknown_rank:
        return
    sizes = [dim.size for dim in info.tensor_shape.dim]
    fits = len(sizes) == array.ndim and all(
        size in (-1, there) for size, there in zip(sizes, array.shape, strict=True)
    )
    if not fits:
        raise invalid(
            f"input {name!r} is expected to have the shape {sizes} "
            f"but {list(array.shape)} is provided"
        )


class Servable:
    """A loaded SavedModel.

    Attributes:
        signatures: Its functions by name.
        labels: The class names that lie inside; empty where there are none.
    """

    def __init__(self, folder: Path):
        saved = saved_model_pb2.SavedModel.FromString((folder / _GRAPH).read_bytes())
        graphs = {frozenset(g.meta_info_def.tags): g for g in saved.meta_graphs}
        graph = graphs.get(frozenset(_TAGS))
        if graph is None:
            tags = "; ".join(", ".join(sorted(tags)) for tags in graphs) or "none"
            raise Refusal(
                Code.NOT_FOUND,
                "Could not find meta graph def matching supplied tags: "
                f"{{ {' '.join(_TAGS)} }} (tags found: {tags})",
            )
        # The functions do not keep alive the object that owns their variables.
        self._loaded = tf.saved_model.load(str(folder), tags=_TAGS)
        self.labels = _read_labels(folder)
        definitions = graph.signature_def
        self.signatures = {
            name: Signature(name, definitions[name], function)
            for name, function in self._loaded.signatures.items()
        }

    def signature(self, name: str, unsigned: Code = Code.INVALID_ARGUMENT) -> Signature:
        """Returns a function by name.

        Args:
            name: Its name; the default one's where it is empty.
            unsigned: The code of the refusal where there is none of that name.

        Raises:
            Refusal: There is none of that name.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise Refusal(
                unsigned, f'Serving signature name: "{name}" not found in signature def'
            )
        return self.signatures[name]


def _read_labels(folder: Path) -> tuple[str, ...]:
    try:
        text = (folder / "assets" / LABELS).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ()
    return tuple(text.splitlines())


def _warm_ups(folder: Path) -> Iterator[Any]:
    place = folder / WARM_UP
    if place.is_file():
        for record in tf.data.TFRecordDataset(str(place)).take(_MOST_WARM_UPS):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
            if log.HasField("predict_log"):
                yield log.predict_log.request


def load(folder: Path) -> Servable:
    """Returns a version that has answered its warm-up requests.

    Args:
        folder: A SavedModel.

    Raises:
        Refusal: It cannot be loaded or does not answer.
    """
    if not is_saved_model(folder):
        raise Refusal(
            Code.NOT_FOUND,
            f"Could not find SavedModel .pb at supplied export directory path: "
            f"{folder}",
        )
    servable = Servable(folder)
    for request in _warm_ups(folder):
        signature = servable.signature(request.model_spec.signature_name)
        arrays = {name: tf.make_ndarray(t) for name, t in request.inputs.items()}
        signature.require(arrays)
        signature.run(arrays)
    return servable
