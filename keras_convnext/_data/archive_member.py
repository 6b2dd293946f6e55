"""Where a file lies in an archive."""

from __future__ import annotations

from typing import NamedTuple


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        start: Its first byte in the archive, or that of a header before it.
        packed_bytes: How many bytes it has there.
        bytes: How many it has unpacked.
        is_packed: Whether it is compressed, by deflate.
        crc: Checksum of its contents; None where the archive has none.
        has_header: Whether a header of some length is at `start`.
    """

    start: int
    packed_bytes: int
    bytes: int
    is_packed: bool = False
    crc: int | None = None
    has_header: bool = False
