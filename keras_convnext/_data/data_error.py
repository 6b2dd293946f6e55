"""What is raised where images cannot be used."""

from __future__ import annotations


class DataError(ValueError):
    """The data cannot be used; its text says why and what to do."""


class SplitError(DataError):
    """The data cannot be split into training and evaluation; whole they can be used."""
