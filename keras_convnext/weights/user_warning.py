"""Tells a person something, at the line of their own program that it is about."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

_LIBRARY = str(Path(__file__).parents[1])


def warn_user(text: str) -> None:
    """Warns of something, and names the nearest line outside this library for it."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_code.co_filename.startswith(_LIBRARY):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)
