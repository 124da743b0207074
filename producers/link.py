"""One connection of the publisher to RabbitMQ, while it lives: opened, watched, and let go of in any case.

aio-pika closes politely and waits for a peer that is gone; so the socket is ours to cut. Everything here ends within a
time limit.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import aio_pika
from aiormq.abc import AbstractChannel
from aiormq.connection import TCPTransportFactory, TLSTransportFactory
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity
from yarl import URL

from domain.errors import BrokerUnavailable
from producers.bounded import closed, within

_log: Final = logging.getLogger("handrail.producers")

REFUSED: Final = ChannelAccessRefused
"""What the broker closes a channel with where a right is missing."""
MISSING: Final = ChannelNotFoundEntity
"""What the broker closes a channel with where something is not there."""

_CHANNEL_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 5.0
_READ_BYTES: Final = 1_048_576


class _Connection(aio_pika.Connection):
    """aio-pika's connection, on a transport that we can cut."""

    PARAMETERS = (
        *aio_pika.Connection.PARAMETERS,
        aio_pika.abc.ConnectionParameter(name="transport_factory", parser=lambda factory: factory, is_kwarg=True),
    )


class _Transport:
    """Opens the socket, and can cut it at once: the library closes politely, and waits for a peer that is gone."""

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **given: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self._writer = await factory.create(url, limit=_READ_BYTES, **given)
        return reader, self._writer

    def cut(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


class Link:
    """One connection, while it lives."""

    def __init__(self, url: str) -> None:
        """Connect to nothing yet. `gone` holds, once it has, why the connection went."""
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._transport = _Transport()
        self._connection = _Connection(URL(url, encoded=True), transport_factory=self._transport)

    @property
    def _underneath(self) -> Any:
        transport = self._connection.transport
        if transport is None:
            raise BrokerUnavailable("there is no connection to the broker")
        return transport.connection

    @property
    def alive(self) -> bool:
        """Whether the connection stands: what is closed then is a channel only."""
        return not self.gone.done() and self._connection.transport is not None and self._underneath.is_opened

    @property
    def frame_bytes(self) -> int:
        """The largest frame that the broker takes; 0 where it does not mind."""
        return int(self._underneath.connection_tune.frame_max)

    @property
    def blocked(self) -> bool:
        """Whether the broker has said that it takes nothing now; the library only offers to wait for the opposite."""
        if not self.alive:
            return False
        waiting = self._underneath.ready()
        try:
            waiting.send(None)
        except StopIteration:
            return False
        waiting.close()
        return True

    async def unblocked(self) -> None:
        """Wait until the broker takes messages again, or is gone."""
        ready = asyncio.ensure_future(self._underneath.ready())
        try:
            await asyncio.wait({ready, self.gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()

    async def open(self, seconds: float) -> None:
        """Connect. Raises TimeoutError, or whatever the library does."""
        await within(seconds, self._connection.connect())
        self._underneath.closing.add_done_callback(self._closed)

    def _closed(self, closing: asyncio.Future[Any]) -> None:
        error = None if closing.cancelled() else closing.exception()
        if not self.gone.done():
            self.gone.set_result(str(error) or type(error).__name__)

    async def open_channel(self) -> AbstractChannel | None:
        """A fresh channel with confirms. None where the connection goes, or gives none in time: then it is cut."""
        try:
            channel = self._connection.channel(publisher_confirms=True, on_return_raises=True)
            await within(_CHANNEL_SECONDS, channel.initialize())
            return await channel.get_underlay_channel()
        except Exception as error:  # noqa: BLE001 - the library raises what it likes when a connection dies
            _log.warning("no channel: %s", str(error) or type(error).__name__)
            self._transport.cut()
            return None

    async def close(self) -> None:
        """Close politely for a few seconds, then cut."""
        if not self.gone.done():
            self.gone.set_result("closed")
        await closed(_CLOSE_SECONDS, self._connection.close(), self._transport.cut)
