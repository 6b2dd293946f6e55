"""Finds the features of a serialized tf.train.Example without copying its image.

`tf.io.parse_example` would read all of a record for the sake of its label. Here the
bytes that matter are walked over, so that a file of images that is mapped into memory
is touched in a few places only.

Source: tensorflow/core/example/example.proto and feature.proto, and the wire format of
protocol buffers.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

Buffer = bytes | mmap.mmap
# Where something lies: its first byte, and the one behind its last.
Place = tuple[int, int]

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_BYTES_LIST, _INT64_LIST = 1, 3


def features(data: Buffer, start: int, end: int) -> dict[str, Place]:
    """Returns the places of an Example's features, by their names.

    Args:
        data: What holds the Example.
        start: Its first byte.
        end: The byte behind its last.

    Raises:
        ValueError: It is no Example.
    """
    found = {}
    for number, *all_of_them in _fields(data, start, end):
        if number != 1:
            continue
        for _, *entry in _fields(data, *all_of_them):
            parts = {part: place for part, *place in _fields(data, *entry)}
            if {1, 2} <= parts.keys():
                name = bytes(data[slice(*parts[1])]).decode("utf-8", "replace")
                found[name] = (parts[2][0], parts[2][1])
    return found


def bytes_place(data: Buffer, feature: Place) -> Place | None:
    """Returns the place of a feature's bytes; None if it is of another kind."""
    return _first(data, feature, _BYTES_LIST)


def integer(data: Buffer, feature: Place) -> int | None:
    """Returns the whole number of a feature; None where it is of another kind."""
    place = _first(data, feature, _INT64_LIST)
    if place is None:
        return None
    # One number looks the same packed and unpacked.
    value, _ = _varint(data, place[0])
    return value - (1 << 64) if value >= 1 << 63 else value


def _first(data: Buffer, feature: Place, kind: int) -> Place | None:
    """Returns the place of a feature's first value, None if there is none."""
    for number, *values in _fields(data, *feature):
        if number == kind:
            for _, first, last in _fields(data, *values):
                return first, last
    return None


def _fields(data: Buffer, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yields the number of each field of a message, and where its value lies."""
    at = start
    while at < end:
        key, at = _varint(data, at)
        kind, first = key & 7, at
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind == _LENGTH:
            length, first = _varint(data, at)
            at = first + length
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if at > end:
            raise ValueError("a field is longer than what holds it")
        yield key >> 3, first, at


def _varint(data: Buffer, at: int) -> tuple[int, int]:
    """Returns a number, and where what follows it starts."""
    value = shift = 0
    while shift < 64:
        if at >= len(data):
            raise ValueError("a number is cut off")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than 64 bits")
