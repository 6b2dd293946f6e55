"""Reads tensors from HDF5: what Keras 2 and 3 write as .h5 and .weights.h5.

Only plain datasets inside the file itself are read. Links into other files,
data stored elsewhere and filters that h5py does not bring along are refused,
because opening them would read, or run, what is not in the file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np

from keras_convnext.weights.errors import BadWeightsFileError
from keras_convnext.weights.tensor_file import MOST_TENSORS, TensorFile, TensorInfo

# A Keras file nests groups five deep; a cycle of links would nest without end.
DEEPEST = 16
# Groups, and tensors with them.
MOST_OBJECTS = MOST_TENSORS
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_LZF}
_FILTERS.add(h5py.h5z.FILTER_FLETCHER32)
# Whole models saved by `model.save("x.h5")` keep their weights in this group.
_WHOLE_MODEL = "model_weights"
_NOT_WEIGHTS = ("optimizer", "optimizer_weights")


class Hdf5File(TensorFile):
    """Tensors of an HDF5 file; a tensor's name is its path in the file."""

    kind = "Keras HDF5"

    def __init__(self, path: Path, stream: io.RawIOBase | None = None) -> None:
        """Opens a file.

        Args:
            path: The file, for reading unless `stream` is given, and for messages.
            stream: The HDF5 data where they are not a file of their own.

        Raises:
            BadWeightsFileError: It is not HDF5, is cut short, or links elsewhere.
        """
        try:
            self._file = h5py.File(path if stream is None else stream, "r")
        except OSError as error:
            raise BadWeightsFileError(
                f"{path} cannot be read as HDF5 ({_first_line(error)}); it is damaged "
                "or was not fetched whole."
            ) from error
        try:
            self._top = self._find_top()
            tensors = {}
            # None stays open: HDF5 holds several kilobytes for each that does.
            for name, dataset in _walk(self._top, self._file.filename):
                _check_dataset(name, dataset, self._file.filename)
                tensors[name] = TensorInfo(tuple(dataset.shape), _dtype(dataset))
        except BadWeightsFileError:
            self.close()
            raise
        except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
            self.close()
            raise BadWeightsFileError(
                f"{path} is damaged HDF5: {_first_line(error)}."
            ) from error
        super().__init__(path, tensors)

    def read(self, name: str) -> np.ndarray:
        try:
            tensor = self._top[name][()]
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise BadWeightsFileError(
                f"{self.path}: the numbers of {name} cannot be read "
                f"({_first_line(error)})."
            ) from error
        return np.asarray(tensor).view(self.tensors[name].dtype)

    def close(self) -> None:
        self._file.close()

    def _find_top(self) -> h5py.Group:
        if _WHOLE_MODEL not in self._file:
            return self._file
        _check_link(self._file, _WHOLE_MODEL, self._file.filename)
        return self._file[_WHOLE_MODEL]


def _walk(top: h5py.Group, file: str) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yields every dataset below a group, refusing links and endless nesting."""
    seen = 0
    waiting: list[tuple[str, h5py.Group, int]] = [("", top, 0)]
    while waiting:
        prefix, group, depth = waiting.pop()
        for name in group:
            path = f"{prefix}{name}"
            seen += 1
            if depth > DEEPEST:
                raise BadWeightsFileError(
                    f"{file} nests its groups without end, from {path[:80]!r} on."
                )
            if seen > MOST_OBJECTS:
                raise BadWeightsFileError(
                    f"{file} holds more than {MOST_OBJECTS:,} groups and tensors; no "
                    "ConvNeXt has as many."
                )
            if path in _NOT_WEIGHTS:
                continue
            _check_link(group, name, file)
            member = group[name]
            if isinstance(member, h5py.Group):
                waiting.append((f"{path}/", member, depth + 1))
            elif isinstance(member, h5py.Dataset):
                yield path, member


def _check_link(group: h5py.Group, name: str, file: str) -> None:
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        target = getattr(link, "filename", None) or getattr(link, "path", "?")
        raise BadWeightsFileError(
            f"{file}: {group.name.rstrip('/')}/{name} is a link to {target!r}. Only "
            "tensors inside the file itself are read."
        )


def _check_dataset(path: str, dataset: h5py.Dataset, file: str) -> None:
    if dataset.external or dataset.is_virtual:
        raise BadWeightsFileError(
            f"{file}: the numbers of {path} lie in another file. Only tensors inside "
            "the file itself are read."
        )
    properties = dataset.id.get_create_plist()
    for index in range(properties.get_nfilters()):
        number = properties.get_filter(index)[0]
        if number not in _FILTERS:
            raise BadWeightsFileError(
                f"{file}: {path} is packed with HDF5 filter {number}, which needs a "
                "plug-in; save it again without."
            )


def _dtype(dataset: h5py.Dataset) -> np.dtype:
    # Keras marks bfloat16 in an attribute, because HDF5 has no such type.
    if dataset.attrs.get("dtype") == "bfloat16" and dataset.dtype.itemsize == 2:
        bfloat16: np.dtype = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    dtype: np.dtype = dataset.dtype
    return dtype


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
