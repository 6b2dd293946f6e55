"""The training application: recipes, data, the loop, and the commands around it."""

from typing import Any

# Modules that pages have named, where they now are; for one release.
_MOVED = {"distribution": "engine", "trainer": "engine"}


def __getattr__(name: str) -> Any:
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib
    import warnings

    place = f"{__name__}.{_MOVED[name]}"
    warnings.warn(
        f"{__name__}.{name} is {place}.{name} now; the old name ends with 0.3",
        DeprecationWarning,
        stacklevel=2,
    )
    return importlib.import_module(f"{place}.{name}")
