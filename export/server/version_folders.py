"""Which folders of a base path are versions; knows no TensorFlow."""

from __future__ import annotations

import re
from pathlib import Path

# Digits as 00000123 has them, not those of other scripts, which Python also counts.
_NUMBER = re.compile(r"[0-9]+")
MOST_VERSION = 2**63 - 1


def find(base_path: Path) -> dict[int, Path]:
    """Returns the folders that are called by a number, the lowest number first.

    Args:
        base_path: Where they are looked for; it need not be there. Of two names for one
            number, such as 01 and 1, the one that sorts last counts, as it does in
            TensorFlow Serving.
    """
    found = {
        int(path.name): path
        for path in sorted(base_path.glob("*"))
        if _NUMBER.fullmatch(path.name) and path.is_dir()
    }
    return {number: found[number] for number in sorted(found) if number <= MOST_VERSION}
