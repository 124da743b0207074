"""Messages to RabbitMQ: persistent, mandatory, confirmed; in a bounded window, and everything within a time limit.

One connection, which is made again by itself whenever it goes, and on it one channel that all messages share. A batch
is written in a few pieces and its confirms are awaited together. Whatever is not answered when a channel or connection
dies is sent again on the next, under the same message id: the broker may then have a message twice, which its receipt
at the other end makes harmless; it never has one not at all that was said to be confirmed.

The broker answers a message that it cannot take at all (an exchange that does not exist, a missing right) by closing
the channel, without saying over which. Then whoever had messages on that channel sends them again on channels of their
own, in ever smaller groups, until the one at fault is alone: it is `UNFIT`, and all others are confirmed.

A broker that has raised its memory or disk alarm stops reading; nothing is sent to it then, and what was sent before
is `UNANSWERED` when its time is over.

On aio-pika's connection this uses the public attributes of the channel underneath instead of its `basic_publish`,
which makes a task and two futures for each message; tests/broker/test_publisher.py holds what is relied on.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from aiormq.abc import AbstractChannel, ChannelFrame
from aiormq.exceptions import AMQPChannelError, ChannelAccessRefused, ChannelNotFoundEntity, PublishError
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.frame import marshal
from pamqp.header import ContentHeader

from domain.backoff import Backoff
from domain.broker_address import BrokerAddress, broker_trouble
from domain.errors import BrokerUnavailable
from domain.transport import LinkHealth, Outgoing, Published
from producers.batch import ACCESS_REFUSED, NOT_FOUND, Batch, Refusal, Slot, Suspects, single_out
from producers.bounded import aside
from producers.destinations import Destinations
from producers.link import Link

_log: Final = logging.getLogger("handrail.producers")

PUBLISH_SECONDS: Final = 10.0
WINDOW: Final = 256
HEARTBEAT_SECONDS: Final = 15

_SETTLED_SECONDS: Final = 5.0
_PIECE_MESSAGES: Final = 64
_PIECE_BYTES: Final = 262_144
_DRAIN_BYTES: Final = 65_536
_BODY_BYTES: Final = 1_048_576

_CODES: Final[Mapping[type[BaseException], int]] = {
    ChannelNotFoundEntity: NOT_FOUND,
    ChannelAccessRefused: ACCESS_REFUSED,
}

Troubled = Callable[[Published | None, int], None]


class AmqpPublisher:
    """The port `Publisher` on RabbitMQ. `name` is what the broker's operators read beside the connection.

    `url` is read by `domain.broker_address`. A call of `publish` takes `timeout_seconds` at most.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        window: int = WINDOW,
        timeout_seconds: float = PUBLISH_SECONDS,
        heartbeat_seconds: int = HEARTBEAT_SECONDS,
        application: str = "handrail",
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Connect to nothing yet. Raises InputInvalid where the address is none."""
        self.address = BrokerAddress.read(url)
        self.destinations = Destinations(login=self.address.login, chance=chance)
        """What is known of the exchanges; none is asked about unless it is expected."""
        self.troubled: Troubled = _nobody
        """Hears of messages that the broker did not confirm, how many, and what it said; None: it was not there."""
        self._name = name
        self._window = window
        self._timeout_seconds = timeout_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._application = application
        self._backoff = Backoff(chance)
        self._keeper: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._line: _Line | None = None
        self._usable = asyncio.Event()
        self._apart = asyncio.Lock()
        self._suspects = Suspects()
        self._health = LinkHealth(connected=False, since=datetime.now(UTC), detail="not started")

    @property
    def health(self) -> LinkHealth:
        """Whether the broker is reached; a broker that has blocked publishing is not."""
        link = self._link
        if self._health.connected and link is not None and link.blocked:
            return LinkHealth(connected=False, since=self._health.since, detail=_BLOCKED)
        return self._health

    async def start(self) -> None:
        """Begin to connect, and stay connected from then on; does not wait for it."""
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep_connected(), name=f"{self._name} keeper")

    async def close(self) -> None:
        """Close the connection, within a few seconds. What is still unconfirmed is unanswered."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})
        self._usable.set()
        self._note(connected=False, detail="closed")

    async def publish(self, messages: Sequence[Outgoing]) -> list[Published]:
        """What became of each, in their order, within the time limit.

        Raises BrokerUnavailable where none was answered and there is no connection; the broker may have some of them.
        """
        batch = Batch(messages)
        if batch.left == 0:
            return []
        try:
            answers = await self._answered(batch)
        except BrokerUnavailable:
            self.troubled(None, len(messages))
            raise
        if answers.count(Published.CONFIRMED) < len(answers):
            for answer, number in Counter(answers).items():
                if answer is not Published.CONFIRMED:
                    self.troubled(answer, number)
        return answers

    async def _answered(self, batch: Batch) -> list[Published]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._carry(batch)
        except TimeoutError:
            await self._overdue(batch)
        return [answer or Published.UNANSWERED for answer in batch.answers]

    async def _carry(self, batch: Batch) -> None:
        """Send until all are answered, over as many channels as it takes."""
        suspicious = self._suspects.among(batch.messages, asyncio.get_running_loop().time())
        if suspicious:
            await self._carry_apart(batch, suspicious)
        while batch.left:
            line = await self._next_line()
            await line.carry(batch, batch.unanswered())
            if batch.left and line.refused:
                await self._carry_apart(batch, batch.unanswered())

    async def _next_line(self) -> _Line:
        """The channel that all share, as soon as there is one on a connection that is not blocked."""
        while True:
            if self._keeper is None:
                raise BrokerUnavailable(
                    f"the publisher to {self.address.shown} is closed, or not started: nothing can be sent"
                )
            await self._usable.wait()
            line, link = self._line, self._link
            if line is None or link is None or line.lost:
                # The keeper is about to notice.
                self._usable.clear()
                continue
            if not link.blocked:
                return line
            await link.unblocked()

    async def _overdue(self, batch: Batch) -> None:
        """The time is over: say so, and trust the channel no further unless the broker has said why it is silent."""
        link, line = self._link, self._line
        if link is None or line is None:
            if batch.left == len(batch.answers):
                raise BrokerUnavailable(
                    f"{self.address.shown} is not reached ({self._health.detail}): try again when it is"
                )
        elif link.blocked:
            if batch.left == len(batch.answers) and not batch.sent:
                raise BrokerUnavailable(f"{self.address.shown} takes nothing: {_BLOCKED}")
        elif batch.sent and any(slot.batch is batch for slot in line.pending.values()):
            _log.warning("%s: no answer to %d messages in time: a new channel", self._name, batch.left)
            line.lose("no answer in time")

    # --- the messages that a channel is closed over -----------------------------------------------------------------

    async def _carry_apart(self, batch: Batch, numbers: Sequence[int]) -> None:
        """Send on channels of our own, so that what is at fault disturbs nobody else; one call at a time."""
        async with self._apart:
            await single_out(batch, numbers, fresh=self._fresh_line, condemn=self._condemn)

    async def _fresh_line(self) -> _Line | None:
        await self._next_line()
        link = self._link
        return await self._open_line(link) if link is not None else None

    async def _open_line(self, link: Link) -> _Line | None:
        channel = await link.open_channel()
        return _Line(channel, link, self._properties, self._window) if channel is not None else None

    def _condemn(self, message: Outgoing, refused: Refusal) -> None:
        self._suspects.add(message, refused, asyncio.get_running_loop().time())
        _log.error(
            "%s: the broker does not take message %s to exchange %r with key %r: %s",
            self._name, message.message_id, message.exchange, message.routing_key, refused.words,
        )  # fmt: skip
        self.destinations.doubt(message.exchange)

    # --- the connection ---------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        """Connect, keep a channel open, and begin again whenever that fails; until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                detail = await self._connected()
            except Exception as error:  # noqa: BLE001 - whatever keeps us from the broker, we try again
                detail = broker_trouble(error)
            if loop.time() - began > _SETTLED_SECONDS:
                self._backoff.succeeded()
            pause = self._backoff.failed()
            self._note(connected=False, detail=detail)
            _log.warning("%s: no connection to %s: %s", self._name, self.address.shown, detail)
            await asyncio.sleep(pause)

    async def _connected(self) -> str:
        """One connection, from its beginning to its end; why it ended."""
        link = Link(self.address.dialled(self._name, self._heartbeat_seconds))
        watching: asyncio.Task[None] | None = None
        try:
            await link.open(self._timeout_seconds)
            self._link = link
            watching = asyncio.ensure_future(self.destinations.watch(link))
            while not link.gone.done():
                line = await self._open_line(link)
                if line is None:
                    return "the broker opens no channel"
                self._line = line
                self._usable.set()
                self._note(connected=True, detail="")
                await asyncio.wait({line.gone, link.gone}, return_when=asyncio.FIRST_COMPLETED)
                self._usable.clear()
                self._line = None
                line.lose("the connection is gone")
            return link.gone.result()
        finally:
            self._usable.clear()
            self._link = self._line = None
            if watching is not None:
                watching.cancel()
            await link.close()

    def _note(self, *, connected: bool, detail: str) -> None:
        since = datetime.now(UTC) if connected != self._health.connected else self._health.since
        self._health = LinkHealth(connected=connected, since=since, detail=detail)

    def _properties(self, message: Outgoing) -> commands.Basic.Properties:
        return commands.Basic.Properties(
            content_type="application/json",
            headers=dict(message.headers) or None,
            delivery_mode=2,
            priority=4,
            correlation_id=message.correlation_id or None,
            message_id=message.message_id,
            timestamp=datetime.now(UTC),
            message_type=message.type or None,
            user_id=(self.address.login if message.user_id is None else message.user_id) or None,
            app_id=self._application,
        )


Properties = Callable[[Outgoing], commands.Basic.Properties]

_BLOCKED: Final = "the broker has blocked publishing, it is short of memory or disk"


class _Line:
    """One channel with confirms, and what is on its way on it. No two messages of one id at once: returns name ids."""

    def __init__(self, channel: AbstractChannel, link: Link, properties: Properties, window: int) -> None:
        loop = asyncio.get_running_loop()
        self.pending: dict[int, Slot] = {}
        self.gone: asyncio.Future[str] = loop.create_future()
        self.refused: Refusal | None = None
        self._channel: Any = channel
        self._link = link
        self._properties = properties
        self._window = window
        self._ids: dict[str, int] = {}
        self._room = asyncio.Event()
        self._undrained = 0
        self._body_most = link.frame_bytes - 8 if link.frame_bytes else _BODY_BYTES
        channel.closing.add_done_callback(self._closed)

    @property
    def lost(self) -> bool:
        """Whether nothing may be sent here any more. The reason is kept before the channel counts as closed."""
        return self.gone.done() or self._channel.is_closed or self._channel._close_exception is not None  # noqa: SLF001 - a frame sent between the two would cost the whole connection

    def lose(self, why: str) -> None:
        """Send nothing here any more, and wake all who wait: what is unanswered is sent again elsewhere."""
        if self.gone.done():
            return
        self.gone.set_result(why)
        self._room.set()
        for slot in self.pending.values():
            slot.batch.woken.set()
        self.pending.clear()
        self._ids.clear()
        if not self._channel.is_closed:
            aside(self._channel.close())

    def _closed(self, closing: asyncio.Future[Any]) -> None:
        error = None if closing.cancelled() else closing.exception()
        if self._link.alive and isinstance(error, AMQPChannelError):
            self.refused = Refusal(_CODES.get(type(error), 0), str(error))
        self.lose(str(error) or type(error).__name__)

    async def carry(self, batch: Batch, numbers: Sequence[int]) -> None:
        """Send these and await their answers; returns early where the channel is lost."""
        waiting = deque(numbers)
        batch.expect(numbers)
        while waiting and not self.lost:
            before = len(waiting)
            drained = self._send(batch, waiting)
            if drained is not None:
                await asyncio.wait({drained, self.gone}, return_when=asyncio.FIRST_COMPLETED)
            elif len(waiting) == before:
                self._room.clear()
                await self._room.wait()
        if waiting:
            # Closed, and about to count as gone: whoever sends on at once would be given this channel again.
            await asyncio.wait({self.gone})
        elif not self.gone.done():
            await batch.woken.wait()

    def _send(self, batch: Batch, waiting: deque[int]) -> asyncio.Future[Any] | None:
        """Write one piece: as many as the window, the piece and the ids on their way allow; taken from `waiting`.

        A future where the caller is to wait before the next piece: for the socket, or for the writer.
        """
        channel = self._channel
        if channel.write_queue.full():
            return aside(channel.write_queue.join())
        pieces: list[bytes] = []
        size = 0
        deferred: list[int] = []
        room = min(_PIECE_MESSAGES, self._window - len(self.pending))
        while waiting and room > 0 and size < _PIECE_BYTES:
            number = waiting.popleft()
            message = batch.messages[number]
            if message.message_id in self._ids:
                deferred.append(number)
                continue
            try:
                piece = b"".join(self._frames(message))
            except (ValueError, TypeError, OverflowError) as error:
                _log.error("message %.255s cannot be sent: %s", message.message_id, error)
                batch.answer(number, Published.UNFIT)
                continue
            pieces.append(piece)
            size += len(piece)
            room -= 1
            channel.delivery_tag += 1
            tag = channel.delivery_tag
            slot = Slot(self, tag, batch, number)
            self.pending[tag] = slot
            self._ids[message.message_id] = tag
            channel.confirmations[tag] = slot
            channel.message_id_delivery_tag[message.message_id] = tag
        waiting.extendleft(reversed(deferred))
        if not pieces:
            return None
        batch.sent = True
        self._undrained += size
        drained: asyncio.Future[Any] | None = None
        if self._undrained > _DRAIN_BYTES:
            self._undrained = 0
            drained = asyncio.get_running_loop().create_future()
        channel.write_queue.put_nowait(ChannelFrame(payload=b"".join(pieces), should_close=False, drain_future=drained))
        return drained

    def _frames(self, message: Outgoing) -> Iterator[bytes]:
        """The message as it goes over the wire. Raises ValueError or TypeError where it does not fit AMQP."""
        if not message.message_id:
            raise ValueError("it has no message id")
        channel = self._channel.number
        yield _publish_frame(channel, message.exchange, message.routing_key, message.mandatory)
        body = message.body
        yield marshal(ContentHeader(0, len(body), self._properties(message)), channel)
        for start in range(0, len(body), self._body_most):
            yield marshal(ContentBody(body[start : start + self._body_most]), channel)

    def ended(self, slot: Slot, error: BaseException | None) -> None:
        """The broker has said what became of one."""
        if self.pending.pop(slot.tag, None) is None:
            return
        message_id = slot.batch.messages[slot.number].message_id
        self._ids.pop(message_id, None)
        if self._channel.message_id_delivery_tag.get(message_id) == slot.tag:
            del self._channel.message_id_delivery_tag[message_id]
        refused = Published.RETURNED if isinstance(error, PublishError) else Published.REFUSED
        slot.batch.answer(slot.number, Published.CONFIRMED if error is None else refused)
        self._room.set()


@lru_cache(maxsize=1_024)
def _publish_frame(channel: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:  # noqa: FBT001 - as the wire has it
    return marshal(commands.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory), channel)


def _nobody(_: Published | None, __: int) -> None:
    """Nobody counts them."""
