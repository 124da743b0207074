"""The harness's own ends on the broker: queues that it reads, and messages that it sends, whatever becomes of either.

Read by asking again and again: where the broker, the connection or the queue has gone, it is made anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from yarl import URL

from domain.errors import BrokerUnavailable
from domain.transport import Outgoing, Published
from producers.publisher import AmqpPublisher
from tests.chaos.moments import called_within

ASK_AGAIN_SECONDS: Final = 0.1
ANEW_SECONDS: Final = 0.5
ANSWER_SECONDS: Final = 10.0
MESSAGES_A_ROUND: Final = 500
KEPT: Final = 2_000
"""Messages that a queue of ours holds at most, the newest."""

TROUBLE: Final = (OSError, TimeoutError, aio_pika.exceptions.AMQPError, asyncio.CancelledError, RuntimeError)
"""What the library raises when a connection goes; a cancellation may be its own."""

Taken = Callable[[AbstractIncomingMessage], Awaitable[None]]


@dataclass(frozen=True)
class Ear:
    """A queue to read. With `bindings` (exchange, key) it is ours, and declared; else it is there or it is not."""

    queue: str
    taken: Taken
    bindings: Sequence[tuple[str, str]] = ()


async def listen(url: str, ears: Sequence[Ear], over: asyncio.Event) -> None:
    """Read these queues until it is over."""
    while not over.is_set():
        try:
            async with connected(url) as connection:
                await _listen(connection, ears, over)
        except TROUBLE:
            if told_to_stop():
                raise
            await called_within(over, ANEW_SECONDS)


def told_to_stop() -> bool:
    """Whether a cancellation means this task, and is not the library's own."""
    return (task := asyncio.current_task()) is not None and task.cancelling() > 0


async def emptied(url: str, queues: Sequence[str], *, deleted: bool, within_seconds: float) -> Counter[str]:
    """Purge these queues, or delete them; how many messages were in each.

    The broker may end the connection in the midst of it, with 541, INTERNAL_ERROR, where a queue's process is not
    there: this goes on with the next one, from the queue that it was at. Raises what the last one ended with once the
    time is over.
    """
    counts: Counter[str] = Counter()
    left = list(queues)
    limit = time.monotonic() + within_seconds
    while left:
        try:
            async with connected(url) as connection:
                channel = await connection.channel()
                while left:
                    queue = await channel.get_queue(left[0], ensure=False)
                    async with asyncio.timeout(ANSWER_SECONDS):
                        if deleted:
                            answer = (await queue.delete(if_unused=False, if_empty=False)).message_count
                        else:
                            answer = (await queue.purge()).message_count
                    counts[left.pop(0)] += answer or 0
        except TROUBLE:
            if told_to_stop() or time.monotonic() > limit:
                raise
            await called_within(asyncio.Event(), ANEW_SECONDS)
    return counts


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[AbstractConnection]:
    """A connection, closed afterwards, whatever has become of it."""
    connection = aio_pika.Connection(URL(url))
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await connection.connect()
        yield connection
    finally:
        # Once for the broker; where it does not answer, once more for the library, which complains of one left open.
        for _ in range(2):
            with contextlib.suppress(*TROUBLE):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await connection.close()


async def _listen(connection: AbstractConnection, ears: Sequence[Ear], over: asyncio.Event) -> None:
    while not over.is_set():
        for ear in ears:
            # A channel of its own: asking for a queue that is not there ends the channel.
            async with asyncio.timeout(ANSWER_SECONDS):
                channel = await connection.channel()
                try:
                    queue = await _queue(channel, ear)
                except aio_pika.exceptions.ChannelNotFoundEntity:
                    continue
            await _empty(queue, ear)
            async with asyncio.timeout(ANSWER_SECONDS):
                await channel.close()
        await called_within(over, ASK_AGAIN_SECONDS)


async def _queue(channel: AbstractChannel, ear: Ear) -> AbstractQueue:
    if not ear.bindings:
        return await channel.get_queue(ear.queue)
    queue = await channel.declare_queue(
        ear.queue, durable=True, arguments={"x-max-length": KEPT, "x-overflow": "drop-head"}
    )
    for exchange, key in ear.bindings:
        await queue.bind(exchange, key)
    return queue


async def _empty(queue: AbstractQueue, ear: Ear) -> None:
    for _ in range(MESSAGES_A_ROUND):
        async with asyncio.timeout(ANSWER_SECONDS):
            message = await queue.get(no_ack=True, fail=False)
        if message is None:
            return
        await ear.taken(message)


class Mouth:
    """Sends messages as one login; what does not get through is sent again by whoever finds that it did not."""

    def __init__(self, url: str, name: str) -> None:
        """As the login of this address, by this name for the broker's operators."""
        self._publisher = AmqpPublisher(url, name=name, timeout_seconds=5.0)
        self.sent = 0

    async def start(self) -> None:
        """Connect."""
        await self._publisher.start()

    async def close(self) -> None:
        """Disconnect."""
        await self._publisher.close()

    async def say(self, messages: Sequence[Outgoing]) -> int:
        """Publish; how many of them the broker says it has."""
        if not messages:
            return 0
        try:
            answers = await self._publisher.publish(messages)
        except BrokerUnavailable:
            return 0
        confirmed = sum(answer is Published.CONFIRMED for answer in answers)
        self.sent += confirmed
        return confirmed


def again(message: AbstractIncomingMessage) -> Outgoing:
    """The same message once more, to be sent by somebody else."""
    headers: Mapping[str, str | int] = {
        name: value for name, value in message.headers.items() if isinstance(value, str | int)
    }
    return Outgoing(
        message.exchange or "",
        message.routing_key or "",
        message.message_id or "",
        message.type or "",
        message.body,
        message.correlation_id or "",
        headers,
        mandatory=False,
    )
