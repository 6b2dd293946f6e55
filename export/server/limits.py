"""What one client may take from the others: bytes, time and connections."""

from __future__ import annotations

import asyncio
import gzip
import io
import threading
import zlib
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from .errors import Code, Refusal, invalid

_TOO_LARGE = 413
_TOO_SLOW = 408
# Of a packed body that are unpacked at a time.
_PART_BYTES = 2**20


@dataclass(frozen=True)
class Limits:
    """The limits.

    Attributes:
        max_request_bytes: Of a request's body, packed and unpacked.
        max_bytes: Of all bodies together that have not been answered.
        max_requests: Requests that are worked on at once, of each protocol.
        header_seconds: From a connection's first moment, or a request's first byte,
            to the end of its headers.
        body_seconds: From there to the end of its body.
    """

    max_request_bytes: int = 64 * 2**20
    max_bytes: int = 256 * 2**20
    max_requests: int = 64
    header_seconds: float = 10.0
    body_seconds: float = 30.0


class Quota:
    """A number of places, or of bytes, that requests share."""

    def __init__(self, size: int, what: str):
        self._left = size
        self._what = what
        self._lock = threading.Lock()

    def take(self, amount: int) -> None:
        """Takes a part of it.

        Raises:
            Refusal: There is not so much left.
        """
        with self._lock:
            if amount > self._left:
                raise Refusal(
                    Code.RESOURCE_EXHAUSTED, f"The server is busy: {self._what}"
                )
            self._left -= amount

    def give(self, amount: int) -> None:
        """Gives a part of it back."""
        with self._lock:
            self._left += amount


class Body:
    """A request's body, and the room that it takes until it is answered."""

    def __init__(self, quota: Quota, limits: Limits):
        self._quota = quota
        self._limits = limits
        self._taken = 0

    async def read(self, request: Request) -> bytes:
        """Returns the body, unpacked where it came with gzip.

        Args:
            request: The request.

        Raises:
            Refusal: It is too large, which is known before it is read where the
                client says how long it is, or it comes too slowly, or is not packed
                as it says.
            ClientDisconnect: The client has gone.
        """
        # h11 has refused whatever is not a number.
        length = int(request.headers.get("content-length", "0"))
        if length > self._limits.max_request_bytes:
            raise self._too_large()
        encoding = request.headers.get("content-encoding", "identity").lower()
        packed = "gzip" in encoding
        if not packed and encoding != "identity":
            raise invalid(f"Content-Encoding {encoding} is not supported: send gzip")
        contents = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for part in request.stream():
                    self._add(part, contents)
        except TimeoutError:
            raise Refusal(
                Code.DEADLINE_EXCEEDED,
                f"The request did not arrive in {self._limits.body_seconds:.0f} s",
                _TOO_SLOW,
            ) from None
        if packed and contents:
            return await asyncio.to_thread(self._unpacked, contents)
        return bytes(contents)

    def _unpacked(self, packed: bytearray) -> bytes:
        """Returns unpacked gzip data in parts: it may be a thousand times larger.

        Raises:
            Refusal: It is too large, or was not packed by gzip.
        """
        contents = bytearray()
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
                while part := file.read(_PART_BYTES):
                    self._add(part, contents)
        except (OSError, EOFError, zlib.error):
            raise invalid(
                "The body cannot be unpacked: its Content-Encoding says gzip"
            ) from None
        return bytes(contents)

    def _add(self, part: bytes, contents: bytearray) -> None:
        """Adds a part to the others, if there is room for it."""
        if len(contents) + len(part) > self._limits.max_request_bytes:
            raise self._too_large()
        self._quota.take(len(part))
        self._taken += len(part)
        contents += part

    def _too_large(self) -> Refusal:
        return Refusal(
            Code.RESOURCE_EXHAUSTED,
            f"The request is larger than {self._limits.max_request_bytes} bytes",
            _TOO_LARGE,
        )

    def release(self) -> None:
        """Gives the room back."""
        self._quota.give(self._taken)
        self._taken = 0


__all__ = ["Body", "ClientDisconnect", "Limits", "Quota"]
