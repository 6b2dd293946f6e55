"""Reads tensors from `.keras` files, by the layers' names in their configuration."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext.weights.dialects.keras3_weights_h5 import VARIABLES
from keras_convnext.weights.errors import BadWeightsFileError
from keras_convnext.weights.readers.archives import (
    open_archive,
    read_small,
    stored_at,
)
from keras_convnext.weights.readers.hdf5 import Hdf5File
from keras_convnext.weights.tensor_file import TensorFile

CONFIGURATION = "config.json"
STORE = "model.weights.h5"
_MOST_CONFIGURATION_BYTES = 64 << 20
_DEEPEST = 16


class KerasArchive(TensorFile):
    """Tensors of a `.keras` file, named "<layer>/<variable>"."""

    kind = "Keras archive"

    def __init__(self, path: Path) -> None:
        """Opens a file.

        Raises:
            BadWeightsFileError: It is damaged, or not what Keras writes.
        """
        with open_archive(path) as archive:
            # Keras stores both as they are; packed ones could unpack to anything.
            for member in (CONFIGURATION, STORE):
                stored_at(archive, archive.getinfo(member))
            configuration = read_small(
                archive, CONFIGURATION, _MOST_CONFIGURATION_BYTES
            )
            start = stored_at(archive, archive.getinfo(STORE))
            length = archive.getinfo(STORE).file_size
        try:
            model = json.loads(configuration)
            # A subclassed model does not tell its layers; they keep their places.
            layers = model["config"].get("layers", [])
            prefixes = dict(_layers(layers, "layers", 0))
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            raise BadWeightsFileError(
                f"{path}: {CONFIGURATION} does not describe a model ({error})."
            ) from error
        self._window = _Window(path, start, length)
        try:
            self._store = Hdf5File(path, self._window)
        except BadWeightsFileError:
            self._window.close()
            raise
        self._stored: dict[str, str] = {}
        for stored in self._store.tensors:
            name = _name(stored, prefixes)
            if name in self._stored:  # of two models within this one
                name = f"{stored.partition('/vars/')[0]}/{name}"
            if "/seed_generator/" not in stored:
                self._stored[name] = stored
        super().__init__(
            path,
            {name: self._store.tensors[at] for name, at in self._stored.items()},
        )

    def read(self, name: str) -> np.ndarray:
        return self._store.read(self._stored[name])

    def close(self) -> None:
        self._store.close()
        self._window.close()


class _Window(io.RawIOBase):
    """A stretch of a file that reads like a file of its own."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._start, self._length, self._at = start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}
        self._at = max(base[whence] + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: max(self._length - self._at, 0)]
        self._file.seek(self._start + self._at)
        count = self._file.readinto(view)
        self._at += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _layers(
    layers: list[Mapping[str, Any]], prefix: str, depth: int
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yields where Keras stores each layer, and the layer's class and name.

    Keras numbers the layers of a class in the order of the model.
    """
    if depth > _DEEPEST:
        raise ValueError("its layers are nested without end")
    seen: Counter[str] = Counter()
    for layer in layers:
        kind = snake_case(layer["class_name"])
        stored = f"{prefix}/{kind}_{seen[kind]}" if seen[kind] else f"{prefix}/{kind}"
        seen[kind] += 1
        inner = layer["config"]
        yield stored, (kind, str(inner.get("name", kind)))
        if isinstance(inner.get("layers"), list):
            yield from _layers(inner["layers"], f"{stored}/layers", depth + 1)


def snake_case(name: str) -> str:
    """Returns a class' name as Keras' store spells it: "LayerNorm", "layer_norm"."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _name(stored: str, prefixes: Mapping[str, tuple[str, str]]) -> str:
    """Turns "layers/dense_3/vars/0" into "stage0_block1_project/kernel"."""
    prefix, _, index = stored.rpartition("/vars/")
    kind, layer = prefixes.get(prefix, ("", ""))
    variables = VARIABLES.get(kind, ())
    if index.isdigit() and int(index) < len(variables):
        return f"{layer}/{variables[int(index)]}"
    return stored
