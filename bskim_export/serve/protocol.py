"""HTTP for callers that are slow on purpose: a request that does not arrive in time has its connection closed."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a bound on the time from the first byte of a connection, or of a later request, to the
    last byte of the request. Uvicorn itself waits for ever.

    Attributes:
        arrival: seconds
    """

    arrival = 30.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._end()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a request."""
        super().on_message_begin()
        self._begin()

    def on_message_complete(self) -> None:
        """Wait no more: the request is there."""
        self._end()
        super().on_message_complete()

    def _begin(self) -> None:
        self._end()
        self._timer = self.loop.call_later(self.arrival, self.transport.close)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def timed(seconds: float) -> type[asyncio.Protocol]:
    """Return the protocol with a bound."""
    own: dict[str, Any] = {"arrival": seconds}
    return type("TimedProtocol", (TimedProtocol,), own)
