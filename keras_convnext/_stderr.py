"""Puts stderr aside for native code too, which heeds no log level of Python's."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def hold_stderr() -> Iterator[TextIO]:
    """Drops what is written to stderr inside; shows it after all where that fails.

    Yields:
        The real stderr, for what a person is to see all the same.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        real = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            with os.fdopen(os.dup(real), "w") as shown:
                yield shown
        except BaseException:
            sys.stderr.flush()
            held.seek(0)
            os.write(real, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)


def held_bytes() -> int:
    """Returns how much `hold_stderr` holds; what grows it names no file."""
    return os.fstat(2).st_size
