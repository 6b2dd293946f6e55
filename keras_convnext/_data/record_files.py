"""Files of many records, TFRecord or ArrayRecord, behind one face."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_convnext._data.data_error import DataError
from keras_convnext._data.example_proto import Buffer, Place
from keras_convnext._files import first_few

_GZIP = b"\x1f\x8b"
# A TFRecord: the length in 8 bytes, its checksum in 4, the record, its checksum in 4.
_LENGTH_BYTES, _CHECKSUM_BYTES = 8, 4
# Records of an ArrayRecord that are read at a time.
_READ_TOGETHER = 256
NEEDS_ARRAY_RECORD = (
    "ArrayRecord files need the package array_record: pip install array_record"
)

# A record: its holder (a file, or itself), what it lies in, its first byte there and
# the one behind its last.
Record = tuple[int, Buffer, int, int]


@dataclass(frozen=True)
class Store:
    """Files of one kind.

    Attributes:
        records: Yields every record in order.
        read: Returns so many bytes of a holder from a place on.
        holders: Returns the holder of each record, given how many each file has; None
            where they have not so many.
    """

    records: Callable[[], Iterator[Record]]
    read: Callable[[int, int, int], bytes]
    holders: Callable[[Sequence[int]], np.ndarray | None]


def make_reader(files: Sequence[Path]) -> Callable[[int, int, int], bytes]:
    """Returns a function of a file's number, a first byte and a length."""

    def read(number: int, start: int, length: int) -> bytes:
        # Opened each time: a thousand files are more than may be open at once.
        with open(files[number], "rb", buffering=0) as opened:
            opened.seek(start)
            return opened.read(length)

    return read


def _tfrecord_store(files: Sequence[Path]) -> Store:
    def records() -> Iterator[Record]:
        for number, file in enumerate(files):
            if not file.stat().st_size:
                continue
            with open(file, "rb") as opened:
                data = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
            with data:
                for start, end in _tfrecords(data, file):
                    yield number, data, start, end

    def holders(counts: Sequence[int]) -> np.ndarray:
        return np.repeat(np.arange(len(counts)), counts)

    return Store(records, make_reader(files), holders)


def _tfrecords(data: mmap.mmap, file: Path) -> Iterator[Place]:
    """Yields where the records of a file lie."""
    if data[:2] == _GZIP:
        raise DataError(f"{file} is compressed; unpack it first (gunzip).")
    at, count = 0, 0
    while at < len(data):
        length = int.from_bytes(data[at : at + _LENGTH_BYTES], "little")
        start = at + _LENGTH_BYTES + _CHECKSUM_BYTES
        at = start + length + _CHECKSUM_BYTES
        if at > len(data):
            raise DataError(
                f"{file} is not a TFRecord file, or is cut off: what should be record "
                f"{count} goes beyond its end."
            )
        yield start, start + length
        count += 1


def _array_record_store(files: Sequence[Path]) -> Store:
    try:
        from array_record.python import array_record_data_source
    except ImportError as error:
        raise DataError(NEEDS_ARRAY_RECORD) from error
    try:
        source = array_record_data_source.ArrayRecordDataSource(list(map(str, files)))
        total = len(source)
    # The package lets through whatever its reader in C++ says.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{first_few(files)} cannot be read as ArrayRecord files: {reason}"
        ) from error

    def records() -> Iterator[Record]:
        for first in range(0, total, _READ_TOGETHER):
            numbers = range(first, min(first + _READ_TOGETHER, total))
            some = source.__getitems__(list(numbers))
            for number, record in zip(numbers, some, strict=True):
                yield number, record, 0, len(record)

    def read(holder: int, start: int, length: int) -> bytes:
        return bytes(source[holder][start : start + length])

    def holders(counts: Sequence[int]) -> np.ndarray | None:
        return np.arange(total) if sum(counts) == total else None

    return Store(records, read, holders)


STORES = {"tfrecord": _tfrecord_store, "array_record": _array_record_store}
