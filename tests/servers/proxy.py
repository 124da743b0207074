"""A TCP proxy on the loopback address, by which tests cut, stall, reset and count what passes.

It runs in a thread of its own: it goes on while a test's thread waits in a driver that blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tests.servers.processes import free_ports

CHUNK_BYTES = 64 * 1024
CALL_SECONDS = 10.0
Answer = TypeVar("Answer")


class Proxy:
    """Passes what comes in on its port to a server, until it is told otherwise.

    Every method may be called from any thread and has done its work when it returns.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        """Stand before this server; it need not be up. The proxy listens from `open` on."""
        self._target = host, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self.port = 0
        self.accepted = 0
        """Connections that came in so far."""
        self.refused = 0
        """Connections that were turned away so far."""
        self.bytes_in = 0
        """Bytes passed to the server so far."""
        self.bytes_out = 0
        """Bytes passed back so far."""

    def open(self) -> None:
        """Listen."""
        (self.port,) = free_ports(1)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(CALL_SECONDS)

    def close(self) -> None:
        """End every connection and listen no more."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(CALL_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def through(self, url: str) -> str:
        """The same URL, through this proxy."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}"))

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return self._call(lambda: len(self._pairs))

    def cut(self) -> int:
        """Close every connection on both sides, in good order (FIN); how many there were. New ones may come."""
        return self._call(lambda: self._drop(reset=False))

    def reset(self) -> int:
        """Reset every connection on both sides (RST); how many there were. New ones may come."""
        return self._call(lambda: self._drop(reset=True))

    def stall(self) -> None:
        """Pass nothing on, in either direction, and keep the connections; new ones are accepted and stall too."""
        self._call(self._flowing.clear)

    def resume(self) -> None:
        """Pass on again, what was held back first."""
        self._call(self._flowing.set)

    def refuse(self) -> int:
        """Reset every connection, and each new one at once, until `accept`: the server is gone. How many there were."""
        self._refusing = True
        return self.reset()

    def accept(self) -> None:
        """Let new connections in again."""
        self._refusing = False

    def _call(self, work: Callable[[], Answer]) -> Answer:
        async def called() -> Answer:
            return work()

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(CALL_SECONDS)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        self._drop(reset=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _drop(self, *, reset: bool) -> int:
        count = len(self._pairs)
        for pair in list(self._pairs):
            for writer in pair:
                end(writer, reset=reset)
            self._pairs.discard(pair)
        return count

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._refusing:
            self.refused += 1
            end(writer, reset=True)
            return
        self.accepted += 1
        try:
            await self._pass(reader, writer)
        except asyncio.CancelledError:
            # The proxy is closed. Whoever started this would log a cancellation as an error.
            end(writer, reset=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        try:
            back, onward = await asyncio.open_connection(*self._target)
        except OSError:
            end(writer, reset=True)
            return
        pair = (writer, onward)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._pump(reader, onward, inward=True), self._pump(back, writer, inward=False))
        finally:
            self._pairs.discard(pair)
            for one in pair:
                end(one, reset=False)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, inward: bool) -> None:
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await self._flowing.wait()
                writer.write(chunk)
                await writer.drain()
                if inward:
                    self.bytes_in += len(chunk)
                else:
                    self.bytes_out += len(chunk)
            if writer.can_write_eof() and not writer.is_closing():
                writer.write_eof()
        except OSError:
            # One side was cut off, as when its process is killed with something unread: the other one hears of it.
            end(writer, reset=True)


def end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """End one side of a connection; with `reset` the other side is told so harshly."""
    if reset:
        if (under := writer.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):
                under.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()
