"""Writes a SavedModel, in the folder layout that TensorFlow Serving watches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_convnext._messages import UsageError
from keras_convnext._stderr import hold_stderr
from keras_convnext.inference.outputs import Kind
from keras_convnext.inference.sidecars import LABELS

from .. import version_folders
from ..model.forward import Network
from ..model.label_map_network import LabelMapNetwork
from ..model.loaded_model import Source
from ..model.object_network import ObjectNetwork
from . import (
    label_map_signatures,
    number_signatures,
    object_signatures,
    signatures,
    warmup_requests,
)

FOLDER = "saved_model"
# How many classes the signature for encoded images tells.
TOP_CLASSES = 5


def next_version(folder: Path) -> int:
    """Returns the first version number above those that exist.

    Names that TensorFlow Serving takes for no version (digits of other scripts, numbers
    that do not fit in 64 bits) do not count.

    Args:
        folder: Holds a subfolder a version; need not exist.

    Raises:
        UsageError: The last number that there can be is taken.
    """
    newest = max(map(version_folders.number_of, folder.glob("*")), default=0)
    if newest >= version_folders.MOST_VERSION:
        raise UsageError(
            f"{folder / str(newest)} has the highest number a version can have; "
            "rename it, or choose another --out"
        )
    return max(newest, 0) + 1


def write(
    source: Source,
    network: tf.Module,
    folder: Path,
    default: str = "bytes",
) -> None:
    """Writes one version.

    Args:
        source: What is exported.
        network: Its forward pass.
        folder: Where to; must not exist.
        default: Which of `signatures.DEFAULTS` is the default signature.
    """
    if source.labels:
        asset = folder.with_name(LABELS)
        asset.write_text("\n".join(source.labels) + "\n", encoding="utf-8")
        network.labels = tf.saved_model.Asset(str(asset))
    made = _SIGNATURES[source.meaning.kind](network, source, default)
    with hold_stderr():
        tf.saved_model.save(network, str(folder), signatures=made)
    default = default if default in made else "features"
    warmup_requests.write(
        folder, source.model.name, source.preprocessing.size_px, default, list(made)
    )


def _class_signatures(network: Network, source: Source, default: str) -> dict[str, Any]:
    top = min(TOP_CLASSES, len(source.labels))
    return signatures.make(network, source.preprocessing, source.labels, top, default)


def _number_signatures(
    network: Network, source: Source, default: str
) -> dict[str, Any]:
    return number_signatures.make(network, source.preprocessing, default)


def _pixel_signatures(
    network: LabelMapNetwork, source: Source, default: str
) -> dict[str, Any]:
    return label_map_signatures.make(network, source.preprocessing, default)


def _object_signatures(
    network: ObjectNetwork, source: Source, default: str
) -> dict[str, Any]:
    return object_signatures.make(network, source.preprocessing, default)


# By what a model's outputs mean.
_SIGNATURES: dict[Kind, Callable[..., dict[str, Any]]] = {
    "softmax": _class_signatures,
    "sigmoid": _class_signatures,
    "number": _number_signatures,
    "features": _class_signatures,
    "label_map": _pixel_signatures,
    "objects": _object_signatures,
}
