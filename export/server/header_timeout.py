"""A time limit for a request's headers, which uvicorn does not have.

Without it, a client that opens connections and sends nothing, or headers byte by byte,
holds their places as long as it likes. This is the one place that knows the inside of
uvicorn's protocol (`cycle`, `conn`), which requirements/ pins.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from .limits import Limits


def make_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """Returns uvicorn's protocol with a time limit for headers, which it has not.

    Args:
        limits: The limits.
    """

    class Protocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._idle = self.conn.their_state
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not self._idle:
                self._rest()
            elif self._timer is None and (
                self.cycle is None or self.cycle.response_complete
            ):
                # uvicorn's own timer for idle connections ended with the first byte.
                self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._rest()
            super().connection_lost(exc)

        def _wait(self) -> None:
            self._timer = self.loop.call_later(limits.header_seconds, self._give_up)

        def _rest(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _give_up(self) -> None:
            self._timer = None
            self.transport.close()

    return Protocol
