"""The consumer on a real broker: it survives whatever happens to broker, store and messages, and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiormq.abc import ChannelFrame
from pamqp import commands
from pamqp.frame import marshal
from pamqp.header import ContentHeader

from consumers.amqp import AmqpConsumer
from consumers.line import Limits
from domain.errors import BrokerUnavailable, StoreUnavailable
from domain.transport import Delivery, Published, QueueState
from tests.broker.stage import (
    DEAD,
    WORK,
    Books,
    channel,
    consumer,
    control,
    count,
    eventually,
    holds,
    outgoing,
    publisher,
    with_work,
)
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import OwnBroker, Vhost


async def send(url: str, first: int, last: int) -> None:
    async with publisher(url) as sender:
        answers = await sender.publish([outgoing(number) for number in range(first, last)])
    assert set(answers) == {Published.CONFIRMED}


def state(receiver: AmqpConsumer) -> QueueState:
    return receiver.health[0].state


async def test_all_is_handed_over_in_turns_and_acknowledged(vhost: Vhost) -> None:
    with_work(vhost)
    await send(vhost.url, 0, 1_000)
    books = Books()
    async with consumer(vhost.url, books, prefetch=200) as receiver:
        await books.have(1_000)
        assert state(receiver) is QueueState.CONSUMING
        assert await receiver.drain(10)
    assert set(books.seen.values()) == {1}
    assert max(books.turns) > 1
    assert await count(vhost.url, WORK) == 0


async def test_an_intake_is_told_all_that_the_message_says(vhost: Vhost) -> None:
    with_work(vhost)
    books = Books()
    async with consumer(vhost.url, books), publisher(vhost.url, application="shop") as sender:
        await sender.publish([outgoing(7, correlation_id="wf_7", headers={"handrail-attempt": 2, "name": "é"})])
        await books.have(1)
    delivery = books.deliveries[0]
    assert (delivery.queue, delivery.exchange, delivery.routing_key) == (WORK, "in", WORK)
    assert (delivery.message_id, delivery.correlation_id, delivery.type) == ("m7", "wf_7", "handrail.step.run.v1")
    assert (delivery.user_id, delivery.app_id) == (vhost.broker.admin.name, "shop")
    assert (delivery.content_type, delivery.body) == ("application/json", b'{"number":7}')
    assert delivery.headers["handrail-attempt"] == 2
    assert delivery.headers["name"] == "é"
    assert delivery.timestamp is not None
    assert not delivery.redelivered


class Keeping(Books):
    """Acknowledges nothing."""

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        pass


async def test_no_more_are_held_than_the_prefetch(vhost: Vhost) -> None:
    with_work(vhost)
    await send(vhost.url, 0, 100)
    books = Keeping()
    async with consumer(vhost.url, books, prefetch=10) as receiver:
        await eventually(lambda: len(books.deliveries) == 10, "ten are held")
        await holds(vhost.url, WORK, 90)
        for number, more in enumerate(books.deliveries[:4]):
            more.acknowledge()
            await eventually(lambda: len(books.deliveries) == 11 + number, "one more comes")  # noqa: B023 - awaited here
        assert receiver.health[0].held == 10


async def test_what_a_paused_consumer_acknowledges_lets_nothing_more_in(vhost: Vhost) -> None:
    with_work(vhost)
    await send(vhost.url, 0, 20)
    receivers: list[AmqpConsumer] = []

    class OneAtATime(Books):
        async def handle(self, deliveries: Sequence[Delivery]) -> None:
            receivers[0].pause(WORK)
            await super().handle(deliveries)

    books = OneAtATime()
    async with consumer(vhost.url, books, prefetch=1) as receiver:
        receivers.append(receiver)
        for number in range(1, 21):
            await eventually(lambda: state(receiver) is QueueState.PAUSED, "it pauses")
            await holds(vhost.url, WORK, 20 - number)
            assert len(books.done) == number
            receiver.resume(WORK)
            if number < 20:
                await books.have(number + 1)
    assert set(books.seen.values()) == {1}


async def test_consumer_tags_are_never_used_again(own_vhost: Vhost, proxies: Callable[[int], Proxy]) -> None:
    with_work(own_vhost)
    broker = own_vhost.broker
    assert isinstance(broker, OwnBroker)
    proxy = proxies(broker.port)
    tags: list[str] = []

    async def look() -> None:
        await eventually(lambda: state(receiver) is QueueState.CONSUMING, "it consumes")
        listed = await asyncio.to_thread(control, broker, "list_consumers", "-p", own_vhost.name, "consumer_tag")
        tags.extend(line for line in listed.split() if line.startswith("test-consumer"))

    async with consumer(proxy.through(own_vhost.url), Books(), chance=lambda: 0.01) as receiver:
        await look()
        receiver.pause(WORK)
        await eventually(lambda: state(receiver) is QueueState.PAUSED, "it pauses")
        await holds(own_vhost.url, WORK, 0)
        receiver.resume(WORK)
        await look()
        proxy.cut()
        await eventually(lambda: proxy.accepted == 2, "it connects again")
        await look()
    assert len(set(tags)) == 3


async def test_closed_connections_lose_nothing_and_repeat_only_what_was_held(own_vhost: Vhost) -> None:
    with_work(own_vhost)
    books = Books()
    async with consumer(own_vhost.url, books, prefetch=20) as receiver:
        await send(own_vhost.url, 0, 300)
        await eventually(lambda: bool(own_vhost.broker.connections()), "the management knows the connection")
        closing = asyncio.to_thread(own_vhost.broker.close_connections)
        closed, _ = await asyncio.gather(closing, books.have(300))
        assert closed
        await eventually(lambda: state(receiver) is QueueState.CONSUMING, "it consumes again")
        await send(own_vhost.url, 300, 600)
        await books.have(600)
        assert await receiver.drain(10)
    assert await count(own_vhost.url, WORK) == 0
    assert await count(own_vhost.url, DEAD) == 0


async def test_a_broker_killed_while_consuming_loses_nothing(own_vhost: Vhost) -> None:
    with_work(own_vhost)
    broker = own_vhost.broker
    assert isinstance(broker, OwnBroker)
    await send(own_vhost.url, 0, 2_000)

    class Slow(Books):
        async def handle(self, deliveries: Sequence[Delivery]) -> None:
            await asyncio.to_thread(lambda: None)
            await super().handle(deliveries)

    books = Slow()
    async with consumer(own_vhost.url, books, prefetch=8) as receiver:
        await books.have(100)
        await asyncio.to_thread(broker.restart)
        await books.have(2_000)
        # What was acknowledged just before may come again: the broker had not written it down.
        await holds(own_vhost.url, WORK, 0)
        assert await receiver.drain(10)
    assert await count(own_vhost.url, WORK) == 0
    assert await count(own_vhost.url, DEAD) == 0


async def test_a_stalled_connection_is_noticed_within_the_heartbeats_bound(
    vhost: Vhost, proxies: Callable[[int], Proxy]
) -> None:
    with_work(vhost)
    proxy = proxies(vhost.broker.port)
    books = Books()
    async with consumer(proxy.through(vhost.url), books, heartbeat_seconds=2, chance=lambda: 0.1) as receiver:
        await eventually(lambda: state(receiver) is QueueState.CONSUMING, "it consumes")
        proxy.stall()
        await eventually(lambda: not receiver.link.connected, "the stall is noticed", seconds=15)
        proxy.resume()
        await send(vhost.url, 0, 10)
        await books.have(10)


async def test_a_long_stream_of_deliveries_counts_as_a_sign_of_life(vhost: Vhost) -> None:
    """The broker sends no heartbeats while it delivers, and the library sees none of the deliveries."""
    with_work(vhost)
    books = Books()
    async with consumer(vhost.url, books, heartbeat_seconds=1, prefetch=1) as receiver, publisher(vhost.url) as sender:
        loop = asyncio.get_running_loop()
        until, number = loop.time() + 9, 0
        await eventually(lambda: state(receiver) is QueueState.CONSUMING, "it consumes")
        since = receiver.link.since
        while loop.time() < until:
            await sender.publish([outgoing(number)])
            number += 1
        await books.have(number)
        assert receiver.link.connected
        assert receiver.link.since == since


async def test_a_queue_deleted_and_made_again_is_missed_by_name_and_consumed_again(
    vhost: Vhost, caplog: pytest.LogCaptureFixture
) -> None:
    with_work(vhost)
    books = Books()
    async with consumer(vhost.url, books) as receiver:
        await send(vhost.url, 0, 5)
        await books.have(5)
        vhost.broker.ask("DELETE", "queues", vhost.name, WORK)
        await eventually(lambda: state(receiver) is QueueState.MISSING, "the queue is missed")
        assert f"no queue '{WORK}'" in receiver.health[0].detail
        assert "apply the topology" in caplog.text
        with_work(vhost)
        await send(vhost.url, 5, 10)
        await books.have(10)
        # The first deliveries may be here before the broker's answer that the queue is consumed.
        await eventually(lambda: state(receiver) is QueueState.CONSUMING, "it consumes again")
        assert receiver.link.connected


async def test_a_right_that_is_missing_is_said(vhost: Vhost) -> None:
    with_work(vhost)
    user = vhost.login("nobody")
    async with consumer(vhost.url_of(user), Books()) as receiver:
        await eventually(lambda: state(receiver) is QueueState.MISSING, "the right is missed")
        assert "refused for user" in receiver.health[0].detail
        vhost.permit(user, read=f"^{WORK}$")
        await eventually(lambda: state(receiver) is QueueState.CONSUMING, "it consumes")


class Store:
    """A store that can be away."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0

    def ask(self) -> None:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("the store is away")

    async def probe(self) -> None:
        self.ask()


class Stored(Books):
    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        self.store.ask()
        await super().handle(deliveries)


@pytest.mark.parametrize("patience_seconds", [3_600.0, 0.3], ids=["kept", "let go"])
async def test_a_store_that_is_away_stops_the_consuming_and_kills_no_message(
    vhost: Vhost, patience_seconds: float
) -> None:
    with_work(vhost)
    store = Store()
    books = Stored(store)
    store.away = True
    limits = Limits(patience_seconds=patience_seconds)
    async with consumer(vhost.url, books, prefetch=50, probe=store.probe, limits=limits) as receiver:
        await send(vhost.url, 0, 500)
        await eventually(lambda: state(receiver) is QueueState.WAITING, "it waits for the store")
        assert "the store is away" in receiver.health[0].detail
        # Kept: what is held, which is what came until the consuming was cancelled, is unsettled. Let go: all lies in
        # the queue again. Both stay so.
        kept = patience_seconds > 1
        await holds(vhost.url, WORK, lambda: 500 - receiver.health[0].held if kept else 500)
        held = receiver.health[0].held
        assert (0 < held <= 50) if kept else held == 0
        asked = store.asked
        await eventually(lambda: store.asked > asked + 2, "the store is tried again")
        assert await count(vhost.url, WORK) == 500 - held
        store.away = False
        await books.have(500)
        assert state(receiver) is QueueState.CONSUMING
        assert await receiver.drain(10)
    assert await count(vhost.url, DEAD) == 0
    assert await count(vhost.url, WORK) == 0


async def test_a_poisonous_message_goes_to_the_dead_queue_and_harms_no_other(
    vhost: Vhost, caplog: pytest.LogCaptureFixture
) -> None:
    with_work(vhost)
    await send(vhost.url, 0, 100)

    class Poisoned(Books):
        async def handle(self, deliveries: Sequence[Delivery]) -> None:
            if any(delivery.message_id in {"m13", "m77"} for delivery in deliveries):
                raise KeyError("poison")
            await super().handle(deliveries)

    books = Poisoned()
    async with consumer(vhost.url, books, prefetch=100) as receiver:
        await books.have(98)
        await holds(vhost.url, DEAD, 2)
        assert await receiver.drain(10)
    assert books.seen["m13"] >= 3
    assert "KeyError: 'poison'" in caplog.text
    assert await count(vhost.url, WORK) == 0


async def test_a_property_that_cannot_be_read_closes_no_connection(
    vhost: Vhost, proxies: Callable[[int], Proxy]
) -> None:
    with_work(vhost)
    proxy = proxies(vhost.broker.port)
    books = Books()
    async with consumer(proxy.through(vhost.url), books), channel(vhost.url) as opened:
        given: Any = opened
        properties = commands.Basic.Properties(message_id="badly", headers={"k": "v"}, timestamp=None)
        pieces = [
            marshal(commands.Basic.Publish(exchange="in", routing_key=WORK), given.number),
            marshal(ContentHeader(0, 0, properties), given.number).replace(b"badly", b"ba\xff\xfe\x00"),
        ]
        await given.write_queue.put(ChannelFrame(payload=b"".join(pieces), should_close=False))
        await books.have(1)
        await send(vhost.url, 0, 5)
        await books.have(6)
    assert books.deliveries[0].message_id == "ba\\xff\\xfe\x00"
    assert proxy.accepted == 1


async def test_an_intake_that_never_ends_lets_go_in_time(vhost: Vhost) -> None:
    with_work(vhost)

    class Hanging(Books):
        async def handle(self, deliveries: Sequence[Delivery]) -> None:
            if max(self.seen.values()) == 1:
                await asyncio.Event().wait()
            await super().handle(deliveries)

    books = Hanging()
    await send(vhost.url, 0, 5)
    async with consumer(vhost.url, books, limits=Limits(longest_hold_seconds=1.0)) as receiver:
        await books.have(5)
        assert all(delivery.redelivered for delivery in books.deliveries[-5:])
        assert await receiver.drain(10)
    assert await count(vhost.url, WORK) == 0


async def test_a_delivery_that_is_never_settled_goes_back_in_time(vhost: Vhost) -> None:
    with_work(vhost)

    class Forgetful(Books):
        async def handle(self, deliveries: Sequence[Delivery]) -> None:
            for delivery in deliveries:
                if delivery.redelivered or delivery.message_id != "m1":
                    self.finish(delivery)

    books = Forgetful()
    await send(vhost.url, 0, 3)
    async with consumer(vhost.url, books, limits=Limits(longest_hold_seconds=1.0)):
        await books.have(3)
    assert books.seen == {"m0": 1, "m1": 2, "m2": 1}


async def test_draining_finishes_what_was_handed_over_and_returns_the_rest(vhost: Vhost) -> None:
    with_work(vhost)
    await send(vhost.url, 0, 200)
    going = asyncio.Event()

    class Waiting(Books):
        async def handle(self, deliveries: Sequence[Delivery]) -> None:
            await going.wait()
            await super().handle(deliveries)

    books = Waiting()
    async with consumer(vhost.url, books, prefetch=50, limits=Limits(turn_deliveries=10)) as receiver:
        await eventually(lambda: bool(books.turns) and receiver.health[0].held == 50, "a turn is under way")
        draining = asyncio.create_task(receiver.drain(30))
        await eventually(lambda: state(receiver) is QueueState.STOPPED, "it drains")
        assert not draining.done()
        going.set()
        assert await draining
    assert len(books.turns) == 1
    await holds(vhost.url, WORK, 200 - len(books.done))
    assert await count(vhost.url, DEAD) == 0


async def test_draining_ends_when_its_grace_is_over(vhost: Vhost) -> None:
    with_work(vhost)
    await send(vhost.url, 0, 20)
    books = Keeping()
    async with consumer(vhost.url, books) as receiver:
        await eventually(lambda: len(books.deliveries) == 20, "all are held")
        books.deliveries[3].acknowledge()
        assert not await receiver.drain(0.3)
        # Too late: its channel has gone.
        books.deliveries[4].acknowledge()
        assert receiver.lost_settlements == 1
    await holds(vhost.url, WORK, 19)


async def test_trouble_with_the_broker_in_an_intake_is_no_fault_of_the_message(vhost: Vhost) -> None:
    with_work(vhost)

    class Publishing(Books):
        async def handle(self, deliveries: Sequence[Delivery]) -> None:
            if len(self.turns) < 4:
                raise BrokerUnavailable("no dead letters can be published now")
            await super().handle(deliveries)

    books = Publishing()
    await send(vhost.url, 0, 5)
    async with consumer(vhost.url, books):
        await books.have(5)
    assert await count(vhost.url, DEAD) == 0


async def test_a_virtual_host_that_is_not_there_is_named_as_what_is_wrong(vhost: Vhost) -> None:
    url = vhost.broker.amqp_url(vhost.broker.admin, "handrail-test-nowhere")
    async with consumer(url, Books()) as receiver:
        await eventually(lambda: "virtual host" in receiver.health[0].detail, "the virtual host was never named")
        assert "`handrail topology apply`" in receiver.health[0].detail
