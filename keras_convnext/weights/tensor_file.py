"""What every kind of weights file looks like to the rest of the library."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import ml_dtypes
import numpy as np

FLOATS = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)


@dataclass(frozen=True)
class TensorInfo:
    """What a file says of one tensor before its numbers are read."""

    shape: tuple[int, ...]
    dtype: np.dtype


class TensorFile(abc.ABC):
    """Named tensors in a file, read one at a time.

    Opening one reads names, shapes and dtypes only, so that a file which does not
    fit a model is refused before a number of it is read, and a tensor is in memory
    only while it is being copied.

    Attributes:
        path: The file.
        kind: Its format, in words for messages.
        tensors: What is in it.
    """

    kind: str

    def __init__(self, path: Path, tensors: Mapping[str, TensorInfo]) -> None:
        self.path = path
        self.tensors = tensors

    @abc.abstractmethod
    def read(self, name: str) -> np.ndarray:
        """Returns one tensor, in the file's own dtype.

        Raises:
            BadWeightsFileError: Its numbers cannot be read.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Lets go of the file."""

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
