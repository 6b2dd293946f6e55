"""Rows of a table by their names, or by a pattern of them."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping
from typing import TypeVar

Row = TypeVar("Row")


def find_by_name(
    name: str, rows: Mapping[str, Row], what: str, listing: str, hidden: str = ""
) -> Row:
    """Returns the row called `name`.

    Args:
        name: What is looked for.
        rows: The table.
        what: Of what kind the rows are, in a message.
        listing: Name of the public function that lists them.
        hidden: What begins the names that a message does not propose.

    Raises:
        ValueError: There is none; the message names the closest three.
    """
    if name in rows:
        return rows[name]
    shown = [each for each in rows if not hidden or not each.startswith(hidden)]
    closest = difflib.get_close_matches(name, shown, n=3, cutoff=0.0)
    raise ValueError(
        f"There is no {what} called {name!r}. The closest names are "
        f"{', '.join(closest)}; {listing}() has them all."
    )


def match_names(names: Iterable[str], pattern: str) -> list[str]:
    """Returns the names that match a shell-style pattern, whatever its case."""
    return [name for name in names if fnmatch.fnmatch(name, pattern.lower())]
