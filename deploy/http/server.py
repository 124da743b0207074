"""Serving the application with uvicorn, within an event loop and a process that have other work too."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Generator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from deploy.http.connection import HEADER_BYTES, BoundedConnection
from domain.errors import InputInvalid

WAITING_CONNECTIONS: Final = 128
KEEP_ALIVE_SECONDS: Final = 15
GRACE_SECONDS: Final = 10


class _Server(uvicorn.Server):
    """A server that leaves the process's signals to whoever owns the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take none."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound, so that a port that is taken is told at once; port 0 is any free one.

    Raises InputInvalid, naming what to do.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise InputInvalid(f"{host[:80]!r} is no address of this machine: {error}") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(WAITING_CONNECTIONS)  # who is told of it may come at once
        listening.setblocking(False)  # noqa: FBT003 - the library's own signature
    except OSError as error:
        listening.close()
        raise InputInvalid(f"nothing can listen on {host}:{port} ({error.strerror}); choose another port") from error
    return listening


def address_of(listening: socket.socket) -> str:
    """Where a socket is reached, as the beginning of an address."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


@contextlib.asynccontextmanager
async def served(
    app: ASGIApp, listening: socket.socket, connection: type[BoundedConnection] = BoundedConnection
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve for as long as the block runs; then answer what was asked, within GRACE_SECONDS. The task that serves."""
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            http=connection,
            log_config=None,
            log_level="error",  # what strangers send is no warning: it would let them fill the log
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=WAITING_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            h11_max_incomplete_event_size=HEADER_BYTES,
        )
    )
    serving = asyncio.create_task(server.serve([listening]), name="http")
    try:
        yield serving
    finally:
        server.should_exit = True
        await asyncio.wait([serving])
        serving.result()
