"""A connection as uvicorn handles it, with one bound more: how long a client may take to begin a request.

uvicorn bounds how long a connection is idle, not how long somebody sends a request's headers byte by byte, nor how long
they go on with the body of one that was answered; connections held open like that would shut everybody else out.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_BEGINS_SECONDS: Final = 15.0


class BoundedConnection(H11Protocol):
    """Closes a connection on which no request has begun for so long, whatever else comes in."""

    begins_seconds: float = REQUEST_BEGINS_SECONDS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As the library makes it."""
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the library has it
        """Wait for a request, for so long."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Take what comes; a request that has begun has its own time limit."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request, for so long."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self._stop()

    def _look(self) -> None:
        cycle: Any = self.cycle  # None before the first request, although the library does not say so
        if cycle is not None and not cycle.response_complete:
            self._stop()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.begins_seconds, self.timeout_keep_alive_handler)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
