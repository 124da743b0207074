"""Dead letters, held to be looked at: taken from their queues without an acknowledgement, so that all of them return.

What is held is invisible to others until `close`, or until the connection goes; only what is acknowledged is gone.
Deliveries are read as consumers read them (`consumers.frames`), since what is wrong with a dead letter may be just what
the library cannot read. How many there are is asked first, where the broker lets us: RabbitMQ 4.2.6 and 4.3.0 answer
only those who may declare; there, and in a cluster that tells late, a queue is read to its end when nothing more comes.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from consumers.amqp import ANSWER_SECONDS, HEARTBEAT_SECONDS, REFUSED, UNFIT, Link, unused
from consumers.bounded import within
from domain.broker_address import BrokerAddress, broker_trouble
from domain.errors import BrokerUnavailable, BrokerUnfit
from domain.faultpoints import reached
from domain.transport import Delivery

FIRST_WINDOW: Final = 16
WINDOW: Final = 500
"""Deliveries that are on their way at once, first and at most: as there is room, by the size of those before."""
MOST_BYTES: Final = 128 * 1024 * 1024
"""Bodies that are held at most, in all."""
QUIET_SECONDS: Final = 2.0
"""How long a queue that has more by its own word, or does not say, may send nothing before it counts as read."""


@dataclass(slots=True)
class HeldQueue:
    """What is held of one queue. `more` messages were left in it, as far as is known."""

    queue: str
    deliveries: list[Delivery] = field(default_factory=list)
    more: int = 0


class DeadQueues:
    """Reads queues over one connection. Made with `async with`; on its end everything returns to its queue."""

    def __init__(self, url: str, *, name: str, most_bytes: int = MOST_BYTES) -> None:
        """Connect to nothing yet. Raises InputInvalid where the address is none."""
        self.address = BrokerAddress.read(url)
        self._name = name
        self._bytes_left = most_bytes
        self._link: Link | None = None
        self._numbers: dict[int, tuple[Any, int]] = {}
        self._tags = itertools.count(1)

    async def __aenter__(self) -> Self:
        """Connect; raises BrokerUnavailable."""
        link = Link(self.address.dialled(self._name, HEARTBEAT_SECONDS))
        try:
            await link.open()
        except Exception as error:
            await link.close()
            raise BrokerUnavailable(
                f"{self.address.shown} is not reached: {broker_trouble(error)}; see that the broker runs, "
                "and that address and password are right"
            ) from error
        self._link = link
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close: what was not acknowledged returns."""
        await self.close()

    async def close(self) -> None:
        """Let everything return to its queue."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def hold(self, queue: str, most: int) -> HeldQueue:
        """Take what a queue has, `most` at most. Raises BrokerUnfit where it is missing or may not be read."""
        try:
            ready = await self._ready(queue)
            return await self._take(queue, most, ready)
        except UNFIT as error:
            raise BrokerUnfit(
                f"{queue} cannot be read as {self.address.login or 'this login'}: {error}; `handrail topology apply` "
                "declares what is missing, and the role operator may read dead queues"
            ) from error
        except TimeoutError as error:
            raise BrokerUnavailable(f"{self.address.shown}: {queue}: {error}") from error

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Have the broker forget these; returns when it has heard of it. Raises BrokerUnavailable."""
        by_channel: dict[Any, list[int]] = {}
        for delivery in deliveries:
            channel, tag = self._numbers.pop(id(delivery))
            by_channel.setdefault(channel, []).append(tag)
        try:
            reached("acknowledge.before")
            for channel, tags in by_channel.items():
                for tag in tags:
                    await within(ANSWER_SECONDS, channel.basic_ack(tag))
                # An answer to this follows what the channel made of the acknowledgements before it.
                await within(ANSWER_SECONDS, channel.basic_qos(prefetch_count=WINDOW))
            reached("acknowledge.after")
        except Exception as error:
            said = str(error) or type(error).__name__
            raise BrokerUnavailable(
                f"{self.address.shown} went while dead letters were acknowledged ({said}): "
                "some may be there again; doing it once more is harmless"
            ) from error

    async def exchange_is_there(self, exchange: str) -> bool | None:
        """Whether there is such an exchange; None where the broker does not say it to us."""
        channel = await self._open_link().open_channel()
        try:
            await within(ANSWER_SECONDS, channel.exchange_declare(exchange, passive=True))
        except REFUSED:
            return None
        except UNFIT:
            return False
        await within(ANSWER_SECONDS, channel.close())
        return True

    # --- details ----------------------------------------------------------------------------------------------------

    def _open_link(self) -> Link:
        if self._link is None or self._link.gone.done():
            raise BrokerUnavailable(f"{self.address.shown}: the connection is gone; try again")
        return self._link

    async def _ready(self, queue: str) -> int | None:
        """How many messages a queue has that nobody holds; None where the broker does not say it to us."""
        channel = await self._open_link().open_channel()
        try:
            declared = await within(ANSWER_SECONDS, channel.queue_declare(queue, passive=True))
        except REFUSED:
            return None
        await within(ANSWER_SECONDS, channel.close())
        return int(declared.message_count or 0)

    async def _take(self, queue: str, most: int, ready: int | None) -> HeldQueue:
        held = HeldQueue(queue)
        expected = min(most, most if ready is None else ready)
        if expected == 0 and ready is not None:
            held.more = ready
            return held
        link = self._open_link()
        channel = await link.open_channel()
        arrived = asyncio.Event()
        window = FIRST_WINDOW
        while len(held.deliveries) < expected and self._bytes_left > 0:
            before = len(held.deliveries)
            window = min(window, expected - before)
            await within(ANSWER_SECONDS, channel.basic_qos(prefetch_count=window))
            tag = f"{self._name}-{next(self._tags)}"
            link.delivered[tag] = self._kept(held, arrived, channel)
            await within(ANSWER_SECONDS, channel.basic_consume(queue, unused, consumer_tag=tag))
            await self._until(held, before + window, arrived, channel)
            # What comes later may not be taken from whoever works on this queue, nor when these are acknowledged.
            await within(ANSWER_SECONDS, channel.basic_cancel(tag))
            if len(held.deliveries) < before + window:
                return held
            average = sum(len(one.body) for one in held.deliveries[before:]) // window
            window = max(1, min(WINDOW, 2 * window, self._bytes_left // (average + 1)))
        held.more = max(0, (ready or 0) - len(held.deliveries))
        return held

    def _kept(self, held: HeldQueue, arrived: asyncio.Event, channel: Any) -> Callable[[int, Delivery], None]:
        def keep(tag: int, delivery: Delivery) -> None:
            delivery.queue = held.queue
            held.deliveries.append(delivery)
            self._numbers[id(delivery)] = channel, tag
            self._bytes_left -= len(delivery.body)
            arrived.set()

        return keep

    async def _until(self, held: HeldQueue, count: int, arrived: asyncio.Event, channel: Any) -> None:
        """Wait until so many are held, or nothing more comes. Raises what the channel was closed with."""
        while len(held.deliveries) < count:
            arrived.clear()
            coming = asyncio.ensure_future(arrived.wait())
            done, _ = await asyncio.wait(
                {coming, channel.closing}, timeout=QUIET_SECONDS, return_when="FIRST_COMPLETED"
            )
            coming.cancel()
            if channel.closing in done:
                channel.closing.result()
                raise BrokerUnavailable(f"{self.address.shown}: the channel was closed; try again")
            if not done:
                return
