"""Which folders of a base path are versions; knows no TensorFlow."""

from __future__ import annotations

import re
from pathlib import Path

# Digits as 00000123 has them, not those of other scripts, which Python also counts.
_NUMBER = re.compile(r"[0-9]+")
MOST_VERSION = 2**63 - 1
NO_VERSION = -1


def number_of(path: Path) -> int:
    """Returns the version that a folder's name says, NO_VERSION where it says none."""
    number = int(path.name) if _NUMBER.fullmatch(path.name) else NO_VERSION
    return number if number <= MOST_VERSION else NO_VERSION


def find(base_path: Path) -> dict[int, Path]:
    """Returns the folders that are called by a number, the lowest number first.

    Args:
        base_path: Where they are looked for; it need not be there. Of two names for one
            number, such as 01 and 1, the one that sorts last counts, as it does in
            TensorFlow Serving.
    """
    found = {
        number: path
        for path in sorted(base_path.glob("*"))
        if (number := number_of(path)) != NO_VERSION and path.is_dir()
    }
    return dict(sorted(found.items()))
