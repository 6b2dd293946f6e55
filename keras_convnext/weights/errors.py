"""What can go wrong between a name and a loaded model."""

from __future__ import annotations

_LONGEST = 2_000


class BadWeightsFileError(ValueError):
    """The file cannot be read as weights; nothing of it was used.

    Its text is one line that is safe to print, whatever names the file holds.
    """

    def __init__(self, text: str) -> None:
        super().__init__(_printable(text))


class WeightsMismatchError(ValueError):
    """The file's tensors are not the model's; the model is as it was."""

    def __init__(self, text: str) -> None:
        super().__init__("\n".join(map(_printable, text.split("\n"))))


class DownloadError(OSError):
    """The weights could not be fetched; nothing half-fetched is ever used."""


def _printable(text: str) -> str:
    """Returns a text with what would steer a terminal written out as in Python."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]} ..."
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )
