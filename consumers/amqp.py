"""Deliveries from RabbitMQ: one connection, made again by itself whenever it goes, and on it a channel for each queue.

What is crash-only here: whatever goes wrong with a connection or channel, it is thrown away and made anew, with full
jitter from half a second to half a minute, with a fresh channel and a fresh consumer tag (RabbitMQ 3.10.8 could crash a
channel over a tag that was used before). The consume callback only enqueues: the library cancels callbacks when their
channel dies, so that turns and Intakes run in tasks of ours (`consumers.line`). An acknowledgement belongs to the
channel of its delivery: when that has gone it is lost, and the message comes again.

There is no passive declaration of the queue before it is consumed: consuming a queue that is missing is refused with
the same words, and needs no right that some brokers ask for a passive declaration.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import aio_pika
from aiormq.abc import ChannelFrame, DeliveredMessage
from aiormq.connection import SSLContextProvider
from aiormq.exceptions import (
    AMQPChannelError,
    ChannelAccessRefused,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)
from pamqp import commands
from pamqp.frame import marshal
from yarl import URL

from consumers.bounded import aside, closed, within
from consumers.frames import HEARTBEAT_FRAME, Address, Frames
from consumers.line import Limits, Line, Probe
from consumers.tally import Settled, Settlement
from domain.backoff import Backoff
from domain.broker_address import BrokerAddress, broker_trouble
from domain.errors import BrokerUnavailable
from domain.transport import Delivery, Intake, LinkHealth, QueueHealth, QueueState

_log: Final = logging.getLogger("handrail.consumers")

HEARTBEAT_SECONDS: Final = 15
_CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 5.0
_SETTLED_SECONDS: Final = 5.0
_READ_BYTES: Final = 1_048_576

UNFIT: Final = (ChannelAccessRefused, ChannelLockedResource, ChannelNotFoundEntity, ChannelPreconditionFailed)
"""What a channel is closed with where a queue or a right is missing."""
REFUSED: Final = ChannelAccessRefused
"""What it is closed with where it is the right."""


class AmqpConsumer:
    """Consumes queues, each with its Intake and its prefetch: how many deliveries may be unsettled at once.

    `url` is read by `domain.broker_address`; `name` is what the broker's operators read beside the connection. `probe`
    is asked whether trouble is over that made an Intake stop: it raises as long as it lasts.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        queues: Mapping[str, tuple[Intake, int]],
        probe: Probe,
        limits: Limits | None = None,
        heartbeat_seconds: int = HEARTBEAT_SECONDS,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Connect to nothing yet. Raises InputInvalid where the address is none."""
        self.address = BrokerAddress.read(url)
        self._name = name
        self._heartbeat_seconds = heartbeat_seconds
        self._chance = chance
        self._limits = limits or Limits()
        self._prefetch = {queue: prefetch for queue, (_, prefetch) in queues.items()}
        self._lines = {
            queue: Line(queue, intake, probe=probe, limits=self._limits, chance=chance)
            for queue, (intake, _) in queues.items()
        }
        self._tags = itertools.count(1)
        self._keeper: asyncio.Task[None] | None = None
        self._health = LinkHealth(connected=False, since=datetime.now(UTC), detail="not started")

    @property
    def link(self) -> LinkHealth:
        """Whether the broker is reached."""
        return self._health

    @property
    def health(self) -> list[QueueHealth]:
        """How each queue is served."""
        return [line.health for line in self._lines.values()]

    @property
    def lost_settlements(self) -> int:
        """Settlements that came when their channel had gone: those deliveries come again."""
        return sum(line.lost_settlements for line in self._lines.values())

    def pause(self, queue: str) -> None:
        """Consume nothing more from this queue. What is acknowledged after this call lets nothing more in."""
        self._lines[queue].pause()

    def resume(self, queue: str) -> None:
        """Consume this queue again."""
        self._lines[queue].resume()

    async def start(self) -> None:
        """Begin to connect and to consume, and go on from then on; does not wait for it."""
        if self._keeper is None:
            for line in self._lines.values():
                line.start()
            self._keeper = asyncio.get_running_loop().create_task(self._keep_connected(), name=f"{self._name} keeper")

    async def drain(self, grace_seconds: float) -> bool:
        """Stop consuming, let the Intakes finish what they were handed, acknowledge it, and close.

        Whether all of it was settled within the grace. Whatever was not returns to its queue.
        """
        for line in self._lines.values():
            line.stop()
        try:
            async with asyncio.timeout(grace_seconds):
                await asyncio.gather(*(line.quiet() for line in self._lines.values()))
        except TimeoutError:
            finished = False
        else:
            finished = True
        await self.close()
        return finished

    async def close(self) -> None:
        """Stop now: Intakes that are busy are cancelled, and what they hold returns to its queue."""
        await asyncio.gather(*(line.end() for line in self._lines.values()))
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})
        self._note(connected=False, detail="closed")

    # --- the connection ---------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        """Connect, serve the queues, and begin again whenever that ends; until cancelled."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(self._chance)
        while True:
            began = loop.time()
            try:
                detail = await self._connected()
            except Exception as error:  # noqa: BLE001 - whatever keeps us from the broker, we try again
                detail = broker_trouble(error)
            if loop.time() - began > _SETTLED_SECONDS:
                backoff.succeeded()
            self._note(connected=False, detail=detail)
            _log.warning("%s: no connection to %s: %s", self._name, self.address.shown, detail)
            await asyncio.sleep(backoff.failed())

    async def _connected(self) -> str:
        """One connection, from its beginning to its end; why it ended."""
        link = Link(self.address.dialled(self._name, self._heartbeat_seconds))
        serving: list[asyncio.Task[None]] = []
        try:
            await link.open()
            self._note(connected=True, detail="")
            serving += [asyncio.ensure_future(self._serve(line, link)) for line in self._lines.values()]
            await asyncio.wait({link.gone})
            return link.gone.result()
        finally:
            for task in serving:
                task.cancel()
            if serving:
                await asyncio.wait(serving)
            for line in self._lines.values():
                line.end_channel()
            await link.close()

    def _note(self, *, connected: bool, detail: str) -> None:
        since = datetime.now(UTC) if connected != self._health.connected else self._health.since
        self._health = LinkHealth(connected=connected, since=since, detail=detail)
        if not connected:
            for line in self._lines.values():
                line.found(QueueState.DISCONNECTED, detail)

    async def _serve(self, line: Line, link: Link) -> None:
        """One channel after another for one queue, as long as the connection lives."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(self._chance)
        while not link.gone.done():
            while not line.wants_channel:
                line.moved.clear()
                await line.moved.wait()
            began = loop.time()
            channel = _Channel(line, link, self._prefetch[line.queue], self._fresh_tag)
            try:
                detail = await channel.serve()
            except UNFIT as error:
                detail = str(error)
                if line.health.detail != detail:
                    _log.error(
                        "%s: cannot be consumed: %s: apply the topology (`handrail topology apply`)", line.queue, detail
                    )
                line.found(QueueState.MISSING, detail)
            except TimeoutError as error:
                link.cut(f"the broker is silent: {error}")
                return
            except Exception as error:  # noqa: BLE001 - the library raises what it likes when a connection dies
                detail = str(error) or type(error).__name__
                line.found(QueueState.DISCONNECTED, detail)
            finally:
                line.end_channel()
                channel.close()
            if not line.wants_channel:
                continue
            if loop.time() - began > _SETTLED_SECONDS:
                backoff.succeeded()
            _log.debug("%s: a new channel: %s", line.queue, detail)
            await asyncio.sleep(backoff.failed())

    def _fresh_tag(self) -> str:
        return f"{self._name}-{next(self._tags)}"


class _Channel:
    """One channel, for one queue, while it lives."""

    def __init__(self, line: Line, link: Link, prefetch: int, fresh_tag: Callable[[], str]) -> None:
        self._line = line
        self._link = link
        self._prefetch = prefetch
        self._fresh_tag = fresh_tag
        self._tally = line.begin_channel()
        self._channel: Any = None
        self._tag: str | None = None
        self._tags: list[str] = []
        self._gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._refused: BaseException | None = None
        self._backoff: Backoff | None = None

    async def serve(self) -> str:
        """Consume while that is wanted, and tell what is settled, until the channel ends; why it ended.

        Raises what the broker closed it with, where it names a queue or a right that is missing.
        """
        line = self._line
        self._channel = channel = await self._link.open_channel()
        channel.closing.add_done_callback(self._closed)
        channel.on_consumer_cancel_callbacks.add(self._cancelled)
        await within(ANSWER_SECONDS, channel.basic_qos(prefetch_count=self._prefetch))
        while True:
            line.moved.clear()
            if self._gone.done():
                if isinstance(self._refused, UNFIT):
                    raise self._refused
                return self._gone.result()
            if line.letting_go:
                return "let go"
            # Whatever takes time is followed by another look: nothing is acknowledged between a pause and its cancel.
            if line.wants_more and self._tag is None:
                await self._consume()
            elif not line.wants_more and self._tag is not None:
                await self._cancel()
            elif channel.write_queue.full():
                await asyncio.wait({aside(channel.write_queue.join()), self._gone}, return_when=asyncio.FIRST_COMPLETED)
            else:
                self._tell()
                await line.moved.wait()

    async def _consume(self) -> None:
        self._tag = tag = self._fresh_tag()
        self._link.delivered[tag] = self._delivered
        self._tags.append(tag)
        await within(ANSWER_SECONDS, self._channel.basic_consume(self._line.queue, unused, consumer_tag=tag))
        self._line.consumed = True
        self._line.found(QueueState.CONSUMING)

    async def _cancel(self) -> None:
        tag, self._tag = self._tag, None
        await within(ANSWER_SECONDS, self._channel.basic_cancel(tag))
        self._line.consumed = False

    def _tell(self) -> None:
        """Tell the broker what is settled, in one piece."""
        if self._lost:
            return
        if self._tally.news:
            number = self._channel.number
            payload = b"".join(marshal(_frame(settlement), number) for settlement in self._tally.take())
            self._channel.write_queue.put_nowait(ChannelFrame(payload=payload, should_close=False))
        self._line.told()

    @property
    def _lost(self) -> bool:
        """Whether nothing may be sent any more. The reason is kept before the channel counts as closed."""
        return self._gone.done() or self._channel.is_closed or self._channel._close_exception is not None  # noqa: SLF001 - a frame sent between the two would cost the whole connection

    def _delivered(self, tag: int, delivery: Delivery) -> None:
        delivery.queue = self._line.queue
        self._line.deliver(tag, delivery)

    def _cancelled(self, _: commands.Basic.Cancel) -> None:
        """The broker has ended our consumption: the queue is deleted, its leader has moved, or it grew impatient."""
        _log.warning("%s: the broker has cancelled the consumer", self._line.queue)
        self._lose("the broker has cancelled the consumer")

    def _closed(self, closing: asyncio.Future[Any]) -> None:
        error = None if closing.cancelled() else closing.exception()
        if isinstance(error, AMQPChannelError):
            self._refused = error
        self._lose(str(error) or type(error).__name__)

    def _lose(self, why: str) -> None:
        if not self._gone.done():
            self._gone.set_result(why)
        self._line.moved.set()

    def close(self) -> None:
        """Close the channel, if it still lives: the broker delivers again what it holds."""
        self._lose("done with")
        for tag in self._tags:
            self._link.delivered.pop(tag, None)
        if self._channel is not None and not self._channel.is_closed:
            aside(within(_CLOSE_SECONDS, self._channel.close()))


def _frame(settlement: Settlement) -> commands.Basic.Ack | commands.Basic.Reject:
    if settlement.kind is Settled.ACKNOWLEDGED:
        return commands.Basic.Ack(delivery_tag=settlement.tag, multiple=settlement.multiple)
    # Never a nack that requeues: from RabbitMQ 4.3 on that counts towards no delivery limit.
    return commands.Basic.Reject(delivery_tag=settlement.tag, requeue=settlement.kind is Settled.GIVEN_BACK)


class _Connection(aio_pika.Connection):
    """aio-pika's connection, on a transport that we can cut."""

    PARAMETERS = (
        *aio_pika.Connection.PARAMETERS,
        aio_pika.abc.ConnectionParameter(name="transport_factory", parser=lambda factory: factory, is_kwarg=True),
    )


class _Reader(asyncio.StreamReader):
    """What the library reads from, the deliveries taken out."""

    def __init__(self, deliver: Callable[[Address, Delivery], None]) -> None:
        super().__init__(limit=_READ_BYTES)
        self._frames = Frames(deliver, super().feed_data)
        self._clock = asyncio.get_running_loop().time
        self._beaten = 0.0

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # a transport hands over bytes only
        if not self._frames.feed(data) and self._clock() > self._beaten + 1.0:
            # The broker sends no heartbeats while it delivers, and the library has seen none of that.
            self._beaten = self._clock()
            super().feed_data(HEARTBEAT_FRAME)


class _Transport:
    """Opens the socket, and can cut it at once: the library closes politely, and waits for a peer that is gone."""

    def __init__(self, deliver: Callable[[Address, Delivery], None]) -> None:
        self._deliver = deliver
        self._transport: asyncio.Transport | None = None

    async def create(
        self, url: URL, ssl_context_provider: SSLContextProvider
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, over TLS where the address says so: certificate and host name are checked."""
        loop = asyncio.get_running_loop()
        reader = _Reader(self._deliver)
        protocol = asyncio.StreamReaderProtocol(reader)
        context = await ssl_context_provider.get_context() if url.scheme == "amqps" else None
        transport, _ = await loop.create_connection(lambda: protocol, url.host or "", url.port or 0, ssl=context)
        self._transport = transport
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def cut(self) -> None:
        """Let go of the socket, whatever is still to be written."""
        if self._transport is not None:
            self._transport.abort()


async def unused(_: DeliveredMessage) -> None:
    """What the library would call with a delivery; it never sees any."""


class Link:
    """One connection, while it lives."""

    def __init__(self, url: str) -> None:
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.delivered: dict[str, Callable[[int, Delivery], None]] = {}
        self._transport = _Transport(self._deliver)
        self._connection = _Connection(URL(url, encoded=True), transport_factory=self._transport)

    async def open(self) -> None:
        """Connect. Raises TimeoutError, or whatever the library does."""
        await within(_CONNECT_SECONDS, self._connection.connect())
        transport = self._connection.transport
        if transport is None:
            raise BrokerUnavailable("the connection went as soon as it was made")
        transport.connection.closing.add_done_callback(self._closed)

    def _closed(self, closing: asyncio.Future[Any]) -> None:
        error = None if closing.cancelled() else closing.exception()
        self._end(str(error) or type(error).__name__)

    def _end(self, why: str) -> None:
        if not self.gone.done():
            self.gone.set_result(why)

    def _deliver(self, address: Address, delivery: Delivery) -> None:
        deliver = self.delivered.get(address.consumer_tag)
        if deliver is not None:
            deliver(address.delivery_tag, delivery)

    @property
    def broker_version(self) -> str:
        """What the broker says that it is; empty where it does not, or is not reached."""
        transport = self._connection.transport
        properties = getattr(transport.connection, "server_properties", None) if transport is not None else None
        said = (properties or {}).get("version", "")
        return said.decode(errors="replace") if isinstance(said, bytes) else str(said)

    async def open_channel(self) -> Any:
        """A fresh channel. Raises TimeoutError, or whatever the library does."""
        channel = self._connection.channel(publisher_confirms=False)
        await within(ANSWER_SECONDS, channel.initialize())
        return await channel.get_underlay_channel()

    def cut(self, why: str) -> None:
        """End the connection at once."""
        self._end(why)
        self._transport.cut()

    async def close(self) -> None:
        """Close politely for a few seconds, then cut."""
        self._end("closed")
        await closed(_CLOSE_SECONDS, self._connection.close(), self._transport.cut)
