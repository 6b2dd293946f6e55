"""Text as people's editors save it: UTF-8, UTF-16 or Windows-1252, any line ends."""

from __future__ import annotations

import re
from dataclasses import dataclass

# By the bytes that editors put first.
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
# `str.splitlines` also ends lines at characters that a name may have.
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Text:
    """The text of a file.

    Attributes:
        text: Without a byte order mark.
        notice: A line for the person where the encoding had to be guessed.
    """

    text: str
    notice: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """Its lines; empty ones at the end are left out."""
        return tuple(_LINE_END.split(self.text.rstrip("\r\n")))


def decode_text(contents: bytes, place: str) -> Text:
    r"""Returns the text of a file, however it was saved.

    Args:
        contents: Of the file: UTF-8 or UTF-16 with a byte order mark or UTF-8 without.
            Bytes that are no UTF-8 are taken for Windows-1252, which the notice says.
        place: What the file is called in messages.

    Raises:
        ValueError: It is no text; one line.

    Example:
        >>> decode_text(b"\xef\xbb\xbfcat\r\ndog\r\n", "labels.txt").lines
        ('cat', 'dog')
    """
    marked = [code for mark, code in _MARKS.items() if contents.startswith(mark)]
    if not marked and b"\0" in contents:
        raise ValueError(f"{place} is no text: save it as UTF-8")
    for encoding in marked or ("utf-8", "cp1252"):
        try:
            text = Text(contents.decode(encoding))
        except UnicodeDecodeError:
            continue
        return text if encoding != "cp1252" else _with_notice(text, place)
    raise ValueError(f"{place} is no text: save it as UTF-8")


def _with_notice(text: Text, place: str) -> Text:
    odd = next(line for line in text.lines if not line.isascii())
    return Text(
        text.text,
        f"{place} is not UTF-8 and was read as Windows-1252 ({odd!r}); if that is "
        "wrong, save it as UTF-8",
    )
