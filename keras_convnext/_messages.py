"""What commands tell a person: errors that the person can correct, and lines."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

# 128 + SIGINT, as shells report it.
EXIT_INTERRUPTED = 130


class CommandError(Exception):
    """Why a command ends without what it was to do, in one line.

    Attributes:
        exit_code: What the process ends with.
    """

    exit_code = 1


class UsageError(CommandError):
    """Something that the person at the keyboard can put right.

    Its text says in one line what was wanted, what came, and what to do.
    """

    exit_code = 2


class Interrupted(CommandError):
    """The run was asked to stop and did, with everything saved.

    Attributes:
        exit_code: 128 plus the signal's number.
    """

    def __init__(self, message: str, exit_code: int = EXIT_INTERRUPTED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def checked(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Calls a function whose ValueErrors are usage errors.

    Raises:
        UsageError: The function raised a ValueError.
    """
    try:
        return function(*arguments, **named)
    except ValueError as error:
        raise UsageError(str(error)) from error


def say(text: str) -> None:
    """Prints a line on stdout at once, also where stdout is a file."""
    print(text, flush=True)


def note(command: str, text: str) -> None:
    """Prints a line on stderr, with the name of the command before it."""
    print(f"{command}: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def warnings_as_lines(write: Callable[[str], None] | None = say) -> Iterator[None]:
    """Writes the library's warnings as plain lines; Python names a source line.

    Args:
        write: Gets each text once; None drops them.
    """
    written: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if write is not None and str(message) not in written:
            written.add(str(message))
            write(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
