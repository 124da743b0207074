"""The publisher on a real broker: every message gets its own answer, and nothing takes longer than it may."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import BrokerUnavailable
from domain.transport import Published
from producers.publisher import AmqpPublisher
from tests.broker.stage import (
    WORK,
    Books,
    channel,
    consumer,
    control,
    count,
    eventually,
    outgoing,
    publisher,
    queue,
    running,
    with_work,
)
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import OwnBroker, Vhost

CONFIRMED, RETURNED, REFUSED = Published.CONFIRMED, Published.RETURNED, Published.REFUSED
UNFIT, UNANSWERED = Published.UNFIT, Published.UNANSWERED


async def test_every_message_gets_its_own_answer_in_order(vhost: Vhost) -> None:
    with_work(vhost)
    troubles: list[tuple[Published | None, int]] = []
    async with publisher(vhost.url) as sender:
        sender.troubled = lambda said, number: troubles.append((said, number))
        messages = [outgoing(number, routing_key="nobody" if number % 7 == 3 else WORK) for number in range(600)]
        answers = await sender.publish(messages)
    assert answers == [RETURNED if number % 7 == 3 else CONFIRMED for number in range(600)]
    assert await count(vhost.url, WORK) == answers.count(CONFIRMED)
    assert troubles == [(RETURNED, answers.count(RETURNED))], "who counts what was not confirmed hears of it"


async def test_what_goes_over_the_wire_is_what_the_contract_says(vhost: Vhost) -> None:
    with_work(vhost)
    before = datetime.now(UTC) - timedelta(seconds=1)
    async with publisher(vhost.url) as sender:
        message = outgoing(1, correlation_id="wf_001", headers={"handrail-attempt": 1, "traceparent": "00-é"})
        assert await sender.publish([message]) == [CONFIRMED]
    async with channel(vhost.url) as opened:
        received = await opened.basic_get(WORK)
    properties = received.header.properties
    assert received.body == message.body
    assert properties.message_id == "m1"
    assert properties.message_type == "handrail.step.run.v1"
    assert properties.correlation_id == "wf_001"
    assert properties.content_type == "application/json"
    assert (properties.delivery_mode, properties.priority) == (2, 4)
    assert (properties.user_id, properties.app_id) == (vhost.broker.admin.name, "handrail")
    ours = {name: value for name, value in (properties.headers or {}).items() if not name.startswith("x-")}
    assert ours == {"handrail-attempt": 1, "traceparent": "00-é"}
    assert isinstance(properties.timestamp, datetime)
    assert properties.timestamp >= before.replace(microsecond=0)


async def test_a_body_larger_than_a_frame_arrives_whole(vhost: Vhost) -> None:
    with_work(vhost)
    body = bytes(range(256)) * 1_100
    async with publisher(vhost.url) as sender:
        assert await sender.publish([outgoing(1, body=body), outgoing(2, body=b"")]) == [CONFIRMED] * 2
    async with channel(vhost.url) as opened:
        assert (await opened.basic_get(WORK)).body == body
        assert (await opened.basic_get(WORK)).body == b""


async def test_one_id_twice_at_once_is_not_confused(vhost: Vhost) -> None:
    """A return names only the message's id: two of one id on one channel would take each other's answers."""
    with_work(vhost)
    one = outgoing(1)
    nowhere = outgoing(1, routing_key="nobody")
    async with publisher(vhost.url) as sender:
        for _ in range(20):
            assert await sender.publish([one, nowhere, one, nowhere]) == [CONFIRMED, RETURNED, CONFIRMED, RETURNED]
        first, second = await asyncio.gather(sender.publish([nowhere]), sender.publish([one]))
    assert (first, second) == ([RETURNED], [CONFIRMED])


async def test_a_full_queue_refuses_and_the_others_go_on(vhost: Vhost) -> None:
    with_work(vhost)
    vhost.define({"queues": [queue("full", "classic", max_length=1, overflow="reject-publish")]})
    async with publisher(vhost.url) as sender:
        assert await sender.publish([outgoing(0, exchange="", routing_key="full")]) == [CONFIRMED]
        messages = [outgoing(1), outgoing(2, exchange="", routing_key="full"), outgoing(3)]
        assert await sender.publish(messages) == [CONFIRMED, REFUSED, CONFIRMED]


async def test_an_unknown_exchange_stops_nobody_and_costs_no_connection(
    vhost: Vhost, proxies: Callable[[int], Proxy]
) -> None:
    with_work(vhost)
    proxy = proxies(vhost.broker.port)
    async with publisher(proxy.through(vhost.url)) as sender:
        messages = [outgoing(number, exchange="nowhere" if number in {0, 77, 499} else "in") for number in range(500)]
        others = [[outgoing(1_000 + number)] for number in range(50)]
        answers, *rest = await asyncio.gather(sender.publish(messages), *(sender.publish(other) for other in others))
        assert [number for number, answer in enumerate(answers) if answer is not CONFIRMED] == [0, 77, 499]
        assert answers[77] is UNFIT
        assert rest == [[CONFIRMED]] * 50
    assert proxy.accepted == 1


async def test_a_missing_right_and_a_strangers_name_are_found(vhost: Vhost) -> None:
    with_work(vhost)
    user = vhost.login("service", write="^in$")
    async with publisher(vhost.url_of(user)) as sender:
        messages = [outgoing(number) for number in range(40)]
        messages[7] = outgoing(7, exchange="over")
        messages[11] = outgoing(11, user_id="somebody-else")
        messages[23] = outgoing(23, exchange="over")
        answers = await sender.publish(messages)
    assert [number for number, answer in enumerate(answers) if answer is UNFIT] == [7, 11, 23]
    assert answers.count(CONFIRMED) == 37


async def test_what_does_not_fit_amqp_is_not_sent_and_the_rest_is(vhost: Vhost) -> None:
    with_work(vhost)
    async with publisher(vhost.url) as sender:
        messages = [
            outgoing(1),
            outgoing(2, routing_key="k" * 256),
            outgoing(3, message_id=""),
            outgoing(4, type="é" * 200),
            outgoing(5),
        ]
        assert await sender.publish(messages) == [CONFIRMED, UNFIT, UNFIT, UNFIT, CONFIRMED]


async def test_without_a_broker_publishing_ends_in_time(proxies: Callable[[int], Proxy]) -> None:
    nobody = proxies(1)
    began = time.monotonic()
    async with publisher(nobody.through("amqp://u:p@x/"), timeout_seconds=0.5) as sender:
        with pytest.raises(BrokerUnavailable, match="is not reached"):
            await sender.publish([outgoing(1)])
        assert not sender.health.connected
    assert time.monotonic() - began < 10


async def test_a_wrong_password_is_named_in_the_health(vhost: Vhost) -> None:
    url = vhost.url.replace(vhost.broker.admin.password, "wrong")
    async with publisher(url, timeout_seconds=1.0) as sender:
        with pytest.raises(BrokerUnavailable) as refusal:
            await sender.publish([outgoing(1)])
        assert "ACCESS_REFUSED" in sender.health.detail
    assert "wrong" not in str(refusal.value)


@pytest.mark.parametrize("how", ["cut", "reset"])
async def test_a_connection_that_goes_in_mid_flight_is_made_again(
    vhost: Vhost, proxies: Callable[[int], Proxy], how: str
) -> None:
    with_work(vhost)
    proxy = proxies(vhost.broker.port)
    async with publisher(proxy.through(vhost.url)) as sender:
        await sender.publish([outgoing(0)])
        under_way = asyncio.gather(
            *(sender.publish([outgoing(1_000 * batch + number) for number in range(400)]) for batch in range(1, 6))
        )
        await eventually(lambda: proxy.bytes_in > 20_000, "messages are on their way")
        assert getattr(proxy, how)() == 1
        assert all(answer is CONFIRMED for answers in await under_way for answer in answers)
    assert proxy.accepted >= 2
    books = Books()
    async with consumer(vhost.url, books, prefetch=256):
        await books.have(2_001)


async def test_a_stalled_connection_is_unanswered_in_time_and_replaced(
    vhost: Vhost, proxies: Callable[[int], Proxy]
) -> None:
    with_work(vhost)
    proxy = proxies(vhost.broker.port)
    async with publisher(proxy.through(vhost.url), timeout_seconds=1.0, chance=lambda: 0.0) as sender:
        await sender.publish([outgoing(0)])
        proxy.stall()
        began = time.monotonic()
        large = [outgoing(number, body=b"x" * 200_000) for number in range(1, 100)]
        assert set(await sender.publish(large)) == {UNANSWERED}
        assert time.monotonic() - began < 5
        await eventually(lambda: not sender.health.connected, "the stall is noticed")
        proxy.resume()
        await eventually(lambda: sender.health.connected, "there is a new connection")
        assert await sender.publish([outgoing(200)]) == [CONFIRMED]


async def test_a_blocked_broker_is_said_to_be_and_taken_up_again(own_vhost: Vhost) -> None:
    with_work(own_vhost)
    broker = own_vhost.broker
    assert isinstance(broker, OwnBroker)
    async with publisher(own_vhost.url, timeout_seconds=2.0) as sender:
        assert await sender.publish([outgoing(1)]) == [CONFIRMED]
        await asyncio.to_thread(control, broker, "set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            began = time.monotonic()
            # The broker says that it has blocked a connection when something is published on it.
            assert await sender.publish([outgoing(2)]) == [UNANSWERED]
            with pytest.raises(BrokerUnavailable, match="short of memory or disk"):
                await sender.publish([outgoing(3)])
            assert not sender.health.connected
            assert time.monotonic() - began < 10
        finally:
            await asyncio.to_thread(control, broker, "set_vm_memory_high_watermark", "absolute", "1GB")
        await eventually(lambda: sender.health.connected, "the alarm is over")
        assert await sender.publish([outgoing(3)]) == [CONFIRMED]


async def test_a_broker_killed_in_mid_flight_loses_nothing_it_confirmed(own_vhost: Vhost) -> None:
    with_work(own_vhost)
    broker = own_vhost.broker
    assert isinstance(broker, OwnBroker)
    confirmed: set[str] = set()
    ending = asyncio.Event()

    async def send(sender: AmqpPublisher) -> None:
        number = 0
        while not ending.is_set() or confirmed.isdisjoint({f"m{number - 1}"}):
            messages = [outgoing(number + more) for more in range(50)]
            number += 50
            try:
                answers = await sender.publish(messages)
            except BrokerUnavailable:
                continue
            # Nothing else: a message that comes back says that the broker has lost what was declared.
            assert set(answers) <= {CONFIRMED, UNANSWERED}
            confirmed.update(one.message_id for one, is_it in zip(messages, answers, strict=True) if is_it is CONFIRMED)

    async with publisher(own_vhost.url, timeout_seconds=2.0) as sender, running(send(sender)) as sending:
        await eventually(lambda: sending.done() or len(confirmed) > 500, "messages are confirmed")
        await asyncio.to_thread(broker.restart)
        before = len(confirmed)
        await eventually(lambda: sending.done() or len(confirmed) > before + 500, "messages are confirmed again")
        ending.set()
        await eventually(sending.done, "the last are confirmed")
    books = Books()
    async with consumer(own_vhost.url, books, prefetch=256):
        await eventually(lambda: confirmed <= books.done, "all that was confirmed is there")
