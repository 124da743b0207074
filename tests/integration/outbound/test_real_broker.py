"""The way out on RabbitMQ and PostgreSQL: queues missing, full, purged, deleted; nothing lost, nobody stopped."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from deploy.broker_definitions import broker_definitions
from deploy.opened import SCHEMA
from domain.messages import StepCommand
from domain.store.opening import open_postgres_store
from domain.topology import activity_queue, topology_of
from producers.publisher import AmqpPublisher
from tests.integration.outbound.recipes import CHAIN, LONELY
from tests.integration.outbound.stage import Process, loaded, until
from tests.servers.postgres import Database
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import OwnBroker, Vhost

LONELY_QUEUE = activity_queue("lonely")
COMMON_QUEUE = activity_queue("common")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.parked.FIRST_TRY_SECONDS", 0.05)
    monkeypatch.setattr("producers.relay.POSITION_EVERY_SECONDS", 0.01)


def define(vhost: Vhost, *queues: str) -> None:
    """Declare the topology with these activity queues."""
    vhost.define(broker_definitions(topology_of(queues), [], vhost.name))


@pytest.fixture
def database_store(database: Database) -> Iterator[Callable[..., Process]]:
    """Makes a process on the test's database."""
    with contextlib.ExitStack() as opened:

        def process(publisher: AmqpPublisher, name: str = "one") -> Process:
            known = loaded(CHAIN, LONELY)
            store = open_postgres_store(database.url, definitions=known, schema=SCHEMA, create=True)
            opened.callback(store.close)
            return Process(store, known, publisher, name)

        yield process


@contextlib.asynccontextmanager
async def publishing(url: str) -> AsyncIterator[AmqpPublisher]:
    publisher = AmqpPublisher(url, name="relay", timeout_seconds=5.0)
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.close()


@contextlib.asynccontextmanager
async def working(process: Process, url: str, *queues: str) -> AsyncIterator[None]:
    """Run what comes from these queues."""

    async def take(message: AbstractIncomingMessage) -> None:
        await process.run([StepCommand.model_validate_json(message.body).command()])
        await message.ack()

    connection = await aio_pika.connect(url)
    try:
        channel = await connection.channel()
        await channel.set_qos(100)
        for name in queues:
            queue = await channel.get_queue(name, ensure=False)
            await queue.consume(take)
        yield
    finally:
        await connection.close()


async def test_a_queue_that_is_missing_stops_nobody_else(vhost: Vhost, database_store: Callable[..., Process]) -> None:
    define(vhost, "common")
    async with publishing(vhost.url) as publisher:
        process = database_store(publisher)
        stuck = await process.start(LONELY, 5, "lonely")
        others = await process.start(CHAIN, 20)
        async with process.relaying(), working(process, vhost.url, COMMON_QUEUE):
            await until(lambda: process.ended(others) and len(process.parked()) == 5)
            assert "bound to none" in process.parked()[0].reason
            define(vhost, "common", "lonely")
            async with working(process, vhost.url, LONELY_QUEUE):
                await until(lambda: process.ended(stuck) and not process.parked())
    assert set(process.ran.values()) == {1}


async def test_a_full_queue_stops_nobody_else(vhost: Vhost, database_store: Callable[..., Process]) -> None:
    define(vhost, "common", "lonely")
    policy = {"pattern": "lonely", "definition": {"max-length": 3}, "apply-to": "queues"}
    vhost.broker.ask("PUT", "policies", vhost.name, "small", body=policy)
    async with publishing(vhost.url) as publisher:
        process = database_store(publisher)
        await until(lambda: (vhost.queue(LONELY_QUEUE) or {}).get("policy") == "small")
        for batch in range(4):  # a quorum queue notices that it is full a little late
            await process.start(LONELY, 10, f"lonely{batch}")
            async with process.relaying():
                await until(lambda: _relayed(process))
        full = process.parked()
        assert full
        assert "its queue is full" in full[0].reason
        others = await process.start(CHAIN, 10)
        async with process.relaying(), working(process, vhost.url, COMMON_QUEUE):
            await until(lambda: process.ended(others))
            async with working(process, vhost.url, LONELY_QUEUE):
                names = [f"lonely{batch}_{number:03d}" for batch in range(4) for number in range(10)]
                await until(lambda: process.ended(names) and not process.parked())
    assert set(process.ran.values()) == {1}


def _relayed(process: Process) -> bool:
    ((position,),) = process.store.query("SELECT coalesce(max(position), 0) FROM positions WHERE name = 'relay'")
    return bool(position == process.store.newest())


@pytest.mark.parametrize("how", ["purged", "deleted"])
async def test_after_all_queues_were_lost_everything_completes_by_reconciling(
    vhost: Vhost, database_store: Callable[..., Process], how: str
) -> None:
    define(vhost, "common", "lonely")
    async with publishing(vhost.url) as publisher:
        process = database_store(publisher)
        names = [*await process.start(CHAIN, 50), *await process.start(LONELY, 20, "lonely")]
        async with process.relaying():
            await until(lambda: _relayed(process))
        for name in vhost.queues():
            if how == "purged":
                vhost.broker.ask("DELETE", "queues", vhost.name, name, "contents")
            else:
                vhost.broker.ask("DELETE", "queues", vhost.name, name)
        define(vhost, "common", "lonely")
        done = await process.outbound.outstanding.reconcile()
        assert (done.commands, done.commands_sent) == (70, 70)
        async with process.relaying(), working(process, vhost.url, COMMON_QUEUE, LONELY_QUEUE):
            await until(lambda: process.ended(names))
    assert set(process.ran.values()) == {1}


async def test_a_broker_killed_and_a_connection_cut_are_waited_for(
    own_rabbitmq: OwnBroker, own_vhost: Vhost, database_store: Callable[..., Process], proxies: Callable[[int], Proxy]
) -> None:
    define(own_vhost, "common")
    proxy = proxies(urlsplit(own_vhost.url).port or 0)
    async with publishing(proxy.through(own_vhost.url)) as publisher:
        process = database_store(publisher)
        process.inbox.straight = process.outbound.straight
        async with process.relaying():
            names = await process.start(CHAIN, 20)
            proxy.reset()
            names += await process.start(CHAIN, 20, "cut")
            await asyncio.to_thread(own_rabbitmq.kill9)
            names += await process.start(CHAIN, 20, "down")
            await asyncio.to_thread(own_rabbitmq.start)
            async with working(process, own_vhost.url, COMMON_QUEUE):
                await _until_swept(process, names)
    assert set(process.ran.values()) == {1}


async def _until_swept(process: Process, names: list[str]) -> None:
    async with asyncio.timeout(60):
        while not process.ended(names):
            await process.sweep.once()
            await asyncio.sleep(0)
