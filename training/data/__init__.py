"""Data sets: read, checked, decoded, batched."""

from typing import TYPE_CHECKING, Any

from keras_convnext._data.data_error import DataError

if TYPE_CHECKING:
    from .loading import from_arrays, load
    from .source import Source

__all__ = ["DataError", "Source", "from_arrays", "load"]


def __getattr__(name: str) -> Any:
    # The library and TensorFlow are imported where they are needed, and quietly.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import loading, source

    return getattr(source if name == "Source" else loading, name)
