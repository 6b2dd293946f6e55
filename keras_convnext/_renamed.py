"""Names that have changed: the old ones work until version 0.3, with a warning."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Says that a name has changed.

    Args:
        old: As it was used.
        new: What to use instead.
        stacklevel: As for `warnings.warn`: 3 is the caller of the caller.
    """
    warnings.warn(
        f"{old} is now called {new}; the old name ends with 0.3",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


def module_getattr(module: str, renamed: dict[str, str]) -> Callable[[str], Any]:
    """Returns a `__getattr__` for a module whose attributes have new names.

    Args:
        module: The module's name.
        renamed: New names by old ones.
    """

    def find(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_renamed(f"{module}.{name}", f"{module}.{renamed[name]}")
        return getattr(sys.modules[module], renamed[name])

    return find


def renamed_arguments(
    **renamed: str,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Returns a decorator that takes keyword arguments by their old names too.

    Args:
        **renamed: New names by old ones.
    """

    def decorate(
        function: Callable[Parameters, Result],
    ) -> Callable[Parameters, Result]:
        @functools.wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            for old, new in renamed.items():
                if old in kwargs:
                    warn_renamed(f"{function.__name__}({old}=)", f"{new}=")
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate
