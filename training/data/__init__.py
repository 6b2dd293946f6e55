"""Data sets: read, checked, decoded, batched."""

from typing import TYPE_CHECKING, Any

from keras_convnext._data.data_error import DataError

if TYPE_CHECKING:
    from .source import Source, from_arrays, load

__all__ = ["DataError", "Source", "from_arrays", "load"]


def __getattr__(name: str) -> Any:
    # Arrays are read under JAX too, where TensorFlow is not imported.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import source

    return getattr(source, name)
