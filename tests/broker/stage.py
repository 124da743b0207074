"""What the tests of the transport share: queues, messages, publishers and consumers that end with the test, Intakes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import aio_pika
from aiormq.abc import AbstractChannel

from consumers.amqp import AmqpConsumer
from consumers.line import Limits
from domain.transport import Delivery, Intake, Outgoing
from producers.publisher import AmqpPublisher
from tests.servers.rabbitmq import OwnBroker, Vhost

LIMIT_SECONDS = 30.0


async def eventually(condition: Callable[[], bool], what: str, seconds: float = LIMIT_SECONDS) -> None:
    """Wait for a condition that nobody announces."""
    never = asyncio.Event()
    loop = asyncio.get_running_loop()
    limit = loop.time() + seconds
    while not condition():
        assert loop.time() < limit, f"{what}: not within {seconds:g} s"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(never.wait(), 0.02)


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run something beside, until the block ends, however; what it raised is raised."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        ended = task.done()
        task.cancel()
        await asyncio.wait({task})
    if ended:
        task.result()


def queue(name: str, kind: str = "quorum", **arguments: Any) -> dict[str, Any]:
    """A queue as definitions have it; underscores of arguments stand for hyphens."""
    given = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return {"name": name, "durable": True, "auto_delete": False, "arguments": {"x-queue-type": kind, **given}}


def exchange(name: str) -> dict[str, Any]:
    return {"name": name, "type": "direct", "durable": True, "auto_delete": False, "internal": False, "arguments": {}}


def binding(source: str, destination: str, routing_key: str) -> dict[str, Any]:
    return {
        "source": source, "destination": destination, "destination_type": "queue",
        "routing_key": routing_key, "arguments": {},
    }  # fmt: skip


WORK = "work"
DEAD = "dead"


def with_work(vhost: Vhost, **arguments: Any) -> Vhost:
    """A queue `work`, whose rejected messages go to the queue `dead`, and an exchange `in` before it."""
    vhost.define(
        {
            "exchanges": [exchange("in"), exchange("over")],
            "queues": [
                queue(
                    WORK,
                    dead_letter_exchange="over",
                    dead_letter_routing_key=WORK,
                    dead_letter_strategy="at-least-once",
                    overflow="reject-publish",
                    delivery_limit=10,
                    **arguments,
                ),
                queue(DEAD),
            ],
            "bindings": [binding("in", WORK, WORK), binding("over", DEAD, WORK)],
        }
    )
    return vhost


def outgoing(number: int, *, exchange: str = "in", routing_key: str = WORK, **given: Any) -> Outgoing:
    """A message; its id says its number."""
    return Outgoing(
        exchange=exchange,
        routing_key=routing_key,
        message_id=given.pop("message_id", f"m{number}"),
        type=given.pop("type", "handrail.step.run.v1"),
        body=given.pop("body", b'{"number":%d}' % number),
        **given,
    )


@contextlib.asynccontextmanager
async def publisher(url: str, **given: Any) -> AsyncIterator[AmqpPublisher]:
    made = AmqpPublisher(url, name="test-publisher", **given)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def fine() -> None:
    """A probe: there is no trouble."""


@contextlib.asynccontextmanager
async def consumer(
    url: str, intake: Intake, *, name: str = WORK, prefetch: int = 32, **given: Any
) -> AsyncIterator[AmqpConsumer]:
    given.setdefault("probe", fine)
    given.setdefault("limits", Limits())
    made = AmqpConsumer(url, name="test-consumer", queues={name: (intake, prefetch)}, **given)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


@contextlib.asynccontextmanager
async def channel(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel of the test's own."""
    connection = await aio_pika.connect(url)
    try:
        opened = await connection.channel()
        yield await opened.get_underlay_channel()
    finally:
        await connection.close()


async def count(url: str, name: str) -> int:
    """How many messages lie in a queue, those not counted that somebody holds."""
    async with channel(url) as opened:
        return (await opened.queue_declare(name, passive=True)).message_count or 0


async def holds(url: str, name: str, expected: int | Callable[[], int]) -> None:
    """Wait until a queue has this many messages, or as many as `expected` gives by then."""
    async with channel(url) as opened:
        loop = asyncio.get_running_loop()
        limit = loop.time() + LIMIT_SECONDS
        while True:
            found = (await opened.queue_declare(name, passive=True)).message_count
            wanted = expected() if callable(expected) else expected
            if found == wanted:
                return
            assert loop.time() < limit, f"{name} has {found} messages, not {wanted}"


class Books:
    """An Intake that keeps what it was handed, and acknowledges it."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.done: set[str] = set()
        self.turns: list[int] = []
        self.deliveries: list[Delivery] = []

    async def __call__(self, deliveries: Sequence[Delivery], /) -> None:
        self.turns.append(len(deliveries))
        for delivery in deliveries:
            self.seen[delivery.message_id] += 1
            self.deliveries.append(delivery)
        await self.handle(deliveries)

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self.finish(delivery)

    def finish(self, delivery: Delivery) -> None:
        self.done.add(delivery.message_id)
        delivery.acknowledge()

    async def have(self, messages: int) -> None:
        await eventually(lambda: len(self.done) >= messages, f"{messages} messages are done")


def control(broker: OwnBroker, *words: str) -> str:
    """Run rabbitmqctl on a private node; what it says."""
    folder = broker.ground.folder
    variables = {
        **os.environ,
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(broker.mapper_port),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
    }
    program = Path(broker.server).with_name("rabbitmqctl")
    node = f"handrail-{broker.port}@localhost"
    command = [str(program), "-q", "-n", node, *words]
    ran = subprocess.run(command, env=variables, check=True, capture_output=True, timeout=60, text=True)
    return ran.stdout
