"""What every kind of weights file looks like to the rest of the library."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import ml_dtypes
import numpy as np

from keras_convnext.weights.errors import BadWeightsFileError

FLOATS = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)
# A thousand is much; what has more is no ConvNeXt, however long one looks at it.
MOST_TENSORS = 10_000
_LONGEST_NAME = 500


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
        """Takes what a reader has found.

        Raises:
            BadWeightsFileError: There are too many tensors, or names that no program
                gives them.
        """
        try:
            _check_names(path, tensors)
        except BadWeightsFileError:
            self.close()
            raise
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


def too_many_tensors(path: Path, count: int) -> BadWeightsFileError:
    """Returns the error for a file of more than `MOST_TENSORS`."""
    return BadWeightsFileError(
        f"{path} holds {count:,} tensors; more than {MOST_TENSORS:,} are not looked "
        "through for a ConvNeXt."
    )


def _check_names(path: Path, tensors: Mapping[str, TensorInfo]) -> None:
    if len(tensors) > MOST_TENSORS:
        raise too_many_tensors(path, len(tensors))
    for name in tensors:
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise BadWeightsFileError(
                f"{path} has a tensor whose name is too long or has control characters "
                f"in it: {name[:80]!r}."
            )
