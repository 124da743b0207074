"""What is published to is asked about before anything is sent, by a login with no more than the rights it has."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from domain.errors import BrokerUnavailable
from domain.rights import runtime
from domain.topology import DEAD_EXCHANGE, EXCHANGES, GOALS_EXCHANGE, OUTCOMES_EXCHANGE, UNROUTED_EXCHANGE
from domain.transport import Published
from producers import link
from producers.publisher import AmqpPublisher
from tests.broker.stage import channel, control, eventually, exchange, outgoing, publisher
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import Login, OwnBroker, Vhost

ALL = [one.name for one in EXCHANGES]
OURS = sorted({*ALL} - {OUTCOMES_EXCHANGE, UNROUTED_EXCHANGE})
"""What serving processes may write to."""


def declared(vhost: Vhost, names: list[str]) -> None:
    vhost.define({"exchanges": [exchange(name) for name in names]})


def login(vhost: Vhost) -> Login:
    """A serving process's, with the rights that Handrail gives it."""
    user = runtime()
    return vhost.login(user.name, configure=user.configure, write=user.write, read=user.read)


async def well(sender: AmqpPublisher) -> None:
    await eventually(lambda: not sender.destinations.trouble, "nothing is wrong")


async def told(sender: AmqpPublisher, words: str) -> str:
    """What is said once these words are among it, and everything was asked about."""
    found = sender.destinations
    await eventually(lambda: words in found.trouble and "not asked" not in found.trouble, f"it is said: {words}")
    return found.trouble


def warned(caplog: pytest.LogCaptureFixture) -> int:
    """How many warnings and errors of ours there were."""
    ours = [one for one in caplog.records if one.name.startswith("handrail")]
    return len([one for one in ours if one.levelno >= logging.WARNING])


async def deleted(vhost: Vhost, name: str) -> None:
    async with channel(vhost.url) as opened:
        await opened.exchange_delete(name)


async def test_all_that_is_there_and_may_be_written_to_is_well(vhost: Vhost, caplog: pytest.LogCaptureFixture) -> None:
    declared(vhost, ALL)
    async with publisher(vhost.url_of(login(vhost))) as sender:
        sender.destinations.expect(OURS)
        assert "not asked about yet" in sender.destinations.trouble
        await well(sender)
    assert warned(caplog) == 0


async def test_what_is_missing_is_named_at_once_and_found_when_it_is_there(
    vhost: Vhost, caplog: pytest.LogCaptureFixture
) -> None:
    declared(vhost, [GOALS_EXCHANGE])
    async with publisher(vhost.url_of(login(vhost)), chance=lambda: 0.01) as sender:
        sender.destinations.expect([GOALS_EXCHANGE, DEAD_EXCHANGE])
        said = await told(sender, f"exchange {DEAD_EXCHANGE} is not there (NOT_FOUND")
        assert "`handrail topology apply`" in said
        assert GOALS_EXCHANGE not in said
        declared(vhost, [DEAD_EXCHANGE])
        await well(sender)
    assert warned(caplog) == 1, "it is said once"


async def test_a_missing_right_is_named_at_once_and_found_when_it_is_given(vhost: Vhost) -> None:
    declared(vhost, ALL)
    service = vhost.login("service", write="^handrail\\.goals$", read="^handrail\\.dead$")
    async with publisher(vhost.url_of(service), chance=lambda: 0.01) as sender:
        sender.destinations.expect([GOALS_EXCHANGE, DEAD_EXCHANGE])
        said = await told(sender, f"exchange {DEAD_EXCHANGE} may not be written to as {service.name} (ACCESS_REFUSED")
        assert "`handrail topology apply --credentials FILE`" in said
        assert f"exchange {GOALS_EXCHANGE}" not in said
        vhost.permit(service, write="^handrail\\.(goals|dead)$")
        await well(sender)


async def test_what_goes_while_nothing_is_sent_is_named_when_it_is_sent_to(vhost: Vhost) -> None:
    declared(vhost, OURS)
    async with publisher(vhost.url_of(login(vhost))) as sender:
        sender.destinations.expect(OURS)
        await well(sender)
        await deleted(vhost, DEAD_EXCHANGE)
        assert await sender.publish([outgoing(1, exchange=DEAD_EXCHANGE)]) == [Published.UNFIT]
        await told(sender, f"exchange {DEAD_EXCHANGE} is not there")


async def test_what_goes_while_there_is_no_connection_is_named_when_there_is_one(
    vhost: Vhost, proxies: Callable[[int], Proxy]
) -> None:
    declared(vhost, OURS)
    proxy = proxies(vhost.broker.port)
    async with publisher(proxy.through(vhost.url_of(login(vhost))), chance=lambda: 0.0) as sender:
        sender.destinations.expect(OURS)
        await well(sender)
        await deleted(vhost, DEAD_EXCHANGE)
        proxy.cut()
        await told(sender, f"exchange {DEAD_EXCHANGE} is not there")


async def test_asking_takes_no_binding_away(vhost: Vhost) -> None:
    declared(vhost, ALL)
    async with channel(vhost.url) as opened:
        await opened.exchange_bind(DEAD_EXCHANGE, GOALS_EXCHANGE, routing_key="goal")
    before = vhost.broker.ask("GET", "bindings", vhost.name)
    async with publisher(vhost.url) as sender:
        sender.destinations.expect(ALL)
        await well(sender)
    assert len(before) == 1
    assert vhost.broker.ask("GET", "bindings", vhost.name) == before


async def test_a_broker_that_tells_only_those_who_may_declare_is_not_taken_to_lack_it(
    vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ 4.2.6 and 4.3.0 refuse a passive declaration; here it is no passive one, which all versions refuse."""
    declared(vhost, OURS)
    refused = asyncio.Event()
    async with channel(vhost.url) as opened:
        kind: Any = type(opened)
    declare = kind.exchange_declare

    async def declaring(self: object, name: str, **_: object) -> object:
        refused.set()
        return await declare(self, name, durable=True)

    monkeypatch.setattr(kind, "exchange_declare", declaring)
    async with publisher(vhost.url_of(login(vhost)), chance=lambda: 0.01) as sender:
        sender.destinations.expect(OURS)
        await well(sender)
        assert refused.is_set()


async def test_a_broker_that_has_blocked_us_is_not_asked_and_not_left_for_its_silence(
    own_vhost: Vhost, proxies: Callable[[int], Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_CHANNEL_SECONDS", 1.0)
    broker = own_vhost.broker
    assert isinstance(broker, OwnBroker)
    declared(own_vhost, [GOALS_EXCHANGE])
    proxy = proxies(broker.port)
    async with publisher(proxy.through(own_vhost.url), timeout_seconds=2.0) as sender:
        sender.destinations.expect([GOALS_EXCHANGE])
        await well(sender)
        before = proxy.accepted
        await asyncio.to_thread(control, broker, "set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            assert await sender.publish([outgoing(1, exchange=GOALS_EXCHANGE)]) == [Published.UNANSWERED]
            sender.destinations.doubt(GOALS_EXCHANGE)
            with pytest.raises(BrokerUnavailable, match="short of memory or disk"):
                await sender.publish([outgoing(2, exchange=GOALS_EXCHANGE)])
            assert proxy.accepted == before
            own_vhost.broker.ask("DELETE", "exchanges", own_vhost.name, GOALS_EXCHANGE)
        finally:
            await asyncio.to_thread(control, broker, "set_vm_memory_high_watermark", "absolute", "1GB")
        await told(sender, f"exchange {GOALS_EXCHANGE} is not there")
