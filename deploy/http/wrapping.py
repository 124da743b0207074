"""What is done to every request: a time limit, security headers, one line in the log. Plain ASGI, nothing buffered."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.http.problems import Problem, problem_of

_log: Final = logging.getLogger("handrail.http")

REQUEST_SECONDS: Final = 30.0
"""How long a request may take, the reading of its body included."""

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

PATH_CHARACTERS: Final = 200


class Wrapped:
    """An application with its requests limited, its answers sealed and its work logged."""

    def __init__(self, app: ASGIApp, *, request_seconds: float = REQUEST_SECONDS) -> None:
        """`app` answers; whatever it lets through as an exception becomes a problem."""
        self._app = app
        self._request_seconds = request_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        status = 0
        scope["app"] = self._app  # tells the router to raise what it finds wrong, instead of answering in plain text

        unread = _announces_body(scope)

        async def heard() -> Message:
            nonlocal unread
            message = await receive()
            if message["type"] != "http.request" or not message.get("more_body", False):
                unread = False
            return message

        async def sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if unread:  # what is left of the body would be taken for the next request's, or be waited for
                    headers["Connection"] = "close"
            await send(message)

        try:
            async with asyncio.timeout(self._request_seconds):
                await self._app(scope, heard, sealed)
        except Exception as error:
            if status != 0:  # half an answer is out already: the connection has to end
                raise
            await _problem(error).response()(scope, heard, sealed)
        finally:
            _tell(scope, status, time.monotonic() - begun)


def _announces_body(scope: Scope) -> bool:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return b"transfer-encoding" in headers or bool(headers.get(b"content-length", b"").strip(b" 0"))


def _problem(error: Exception) -> Problem:
    if isinstance(error, TimeoutError):
        return Problem(503, "too-slow", "it took too long; ask again, with the same Idempotency-Key")
    return problem_of(error)


def _tell(scope: Scope, status: int, seconds: float) -> None:
    """One line: what was asked, without its query, of whom, and how it was answered. Never a header."""
    route = ascii(scope["path"][:PATH_CHARACTERS])[1:-1]
    level = logging.DEBUG if route in {"/healthz", "/metrics", "/readyz"} or status in {401, 403} else logging.INFO
    who = scope.get("state", {}).get("bearer", "-")
    _log.log(level, "%s %s %d %.0f ms %s", scope["method"], route, status, seconds * 1_000, who)
