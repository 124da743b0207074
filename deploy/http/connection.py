"""A connection as uvicorn handles it, with bounds of ours, and with problem details for what no application sees.

uvicorn bounds how long a connection is idle, not how long somebody sends a request's headers byte by byte, nor how long
they go on with the body of one that was answered; connections held open like that would shut everybody else out. It
bounds headers whose end has not come, not those that come whole. What it refuses, it refuses in plain text.
"""

from __future__ import annotations

import asyncio
import sys
from http import HTTPStatus
from typing import Any, Final

import h11
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from deploy.http.problems import RETRY_AFTER_SECONDS, Problem
from deploy.http.wrapping import HEADERS

REQUEST_BEGINS_SECONDS: Final = 15.0
CONNECTIONS_AT_ONCE: Final = 512
HEADER_BYTES: Final = 16 * 1024
"""Most bytes of a request before its body: its first line and its headers."""


class BoundedConnection(H11Protocol):
    """Closes a connection on which no request has begun for so long, whatever comes in; refuses what is too much."""

    begins_seconds: float = REQUEST_BEGINS_SECONDS
    connections_at_once: int = CONNECTIONS_AT_ONCE

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As the library makes it."""
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._application = self.app
        self.app = self._answer

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

    def send_400_response(self, _message: str) -> None:
        """Say what is wrong with what cannot be read, and close."""
        hint = getattr(sys.exception(), "error_status_hint", HTTPStatus.BAD_REQUEST)
        too_large = hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        response = _refusal(_TOO_LARGE if too_large else _NOT_HTTP)
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            phrase = HTTPStatus(response.status_code).phrase.encode()
            answer = h11.Response(status_code=response.status_code, headers=response.raw_headers, reason=phrase)
            for event in (answer, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, unless it is too large, or one too many."""
        if _head_bytes(scope) > HEADER_BYTES:
            await _refusal(_TOO_LARGE)(scope, receive, send)
        elif max(len(self.connections), len(self.tasks)) > self.connections_at_once:
            await _refusal(_BUSY)(scope, receive, send)
        else:
            await self._application(scope, receive, send)

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


_NOT_HTTP: Final = (
    HTTPStatus.BAD_REQUEST,
    "not-http",
    "this cannot be read as HTTP/1.1: speak plain HTTP to this port, and see what else stands between the two ends",
)
_TOO_LARGE: Final = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers-too-large",
    f"a request's first line and headers have {HEADER_BYTES} bytes at most: leave out what is not needed",
)
_BUSY: Final = (
    HTTPStatus.SERVICE_UNAVAILABLE,
    "busy",
    "too many are connected: ask again, with the same Idempotency-Key, or close connections that rest",
)


def _refusal(why: tuple[HTTPStatus, str, str]) -> Response:
    """The answer, after which the connection is closed: what is left of the request is not read."""
    status, name, detail = why
    headers = {**HEADERS, "Connection": "close"}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return Problem(status, name, detail, headers=headers).response()


def _head_bytes(scope: Scope) -> int:
    """How many bytes came before the body: a line, with two blanks and the version, the headers, an empty line."""
    target = len(scope["raw_path"]) + bool(scope["query_string"]) + len(scope["query_string"])
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return (
        len(scope["method"])
        + target
        + len("  HTTP/1.1\r\n\r\n")
        + sum(len(name) + len(value) + 4 for name, value in headers)
    )
