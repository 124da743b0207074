"""Each right tried on a real broker, where it holds and where it ends; and what becomes of what is rejected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelClosed, ChannelPreconditionFailed

from domain.rights import (
    User,
    approval_service,
    foreign_worker,
    goal_service,
    listener,
    operator,
    runtime,
    signal_service,
)
from domain.topology import Listener, dead_queue
from tests.servers.rabbitmq import Login, Vhost
from tests.servers.wiring import login_as, wire

pytestmark = pytest.mark.asyncio
REFUSED = "ACCESS_REFUSED"


@pytest.fixture
def wired(vhost: Vhost) -> Vhost:
    """A virtual host with the topology on it."""
    wire(vhost, ["default", "papers"], [Listener("crm", ("approval.requested.#",))])
    return vhost


@asynccontextmanager
async def channel_of(vhost: Vhost, user: Login | None = None) -> AsyncIterator[AbstractChannel]:
    url = vhost.url if user is None else vhost.url_of(user)
    async with await aio_pika.connect(url) as connection:
        yield await connection.channel(publisher_confirms=True, on_return_raises=True)


async def publish(
    vhost: Vhost, user: Login, exchange: str, key: str, *, user_id: str | None = None, body: bytes = b"{}"
) -> None:
    """Publish one message as this user; raises what the broker says against it."""
    message = aio_pika.Message(body, user_id=user_id, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    async with channel_of(vhost, user) as channel:
        if exchange:
            target = await channel.get_exchange(exchange, ensure=False)
            await target.publish(message, key, timeout=10)
        else:
            await channel.default_exchange.publish(message, key, timeout=10)


async def taken(vhost: Vhost, queue: str, user: Login | None = None) -> bytes | None:
    """Take one message from a queue, as this user or as the administrator."""
    async with channel_of(vhost, user) as channel:
        message = await (await channel.get_queue(queue, ensure=False)).get(fail=False, timeout=10)
        if message is None:
            return None
        await message.ack()
        return message.body


async def refused(action: Any) -> None:
    with pytest.raises(ChannelClosed, match=REFUSED):
        await action


WRITES = {
    "handrail.goals": "goal",
    "handrail.approvals": "approval.vendor-onboarding-review",
    "handrail.signals": "papers",
    "handrail.control": "control",
    "handrail.outcomes": "outcome",
    "handrail.commands": "papers",
    "handrail.dead": "handrail.goals",
    "handrail.events": "approval.requested.vendor-onboarding-review",
    "handrail.unrouted": "",
}
LANDS_IN = {
    **{f"handrail.{name}": f"handrail.{name}" for name in ("goals", "approvals", "signals", "control", "outcomes")},
    "handrail.commands": "handrail.activity.papers",
    "handrail.dead": "handrail.dead.goals",
    "handrail.events": "handrail.listener.crm",
}
READS = (
    "handrail.goals",
    "handrail.outcomes",
    "handrail.activity.papers",
    "handrail.activity.default",
    "handrail.dead.goals",
    "handrail.dead.activity.papers",
    "handrail.listener.crm",
    "handrail.unrouted",
)

ROLES: list[tuple[Callable[[], User], set[str], set[str]]] = [
    (lambda: goal_service("shop"), {"handrail.goals"}, set()),
    (lambda: approval_service("desk"), {"handrail.approvals"}, set()),
    (lambda: signal_service("post"), {"handrail.signals"}, set()),
    (lambda: foreign_worker("node", "papers"), {"handrail.outcomes"}, {"handrail.activity.papers"}),
    (lambda: listener("crm"), set(), {"handrail.listener.crm"}),
    (
        operator,
        {f"handrail.{name}" for name in ("goals", "approvals", "signals", "control", "outcomes", "commands")},
        {"handrail.dead.goals", "handrail.dead.activity.papers", "handrail.unrouted"},
    ),
    (
        runtime,
        {f"handrail.{name}" for name in ("commands", "events", "dead", "goals", "approvals", "signals", "control")},
        {"handrail.goals", "handrail.outcomes", "handrail.activity.papers", "handrail.activity.default",
         "handrail.dead.activity.papers"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("role", "writes", "reads"), ROLES, ids=[role().role.value for role, _, _ in ROLES])
async def test_a_role_may_do_what_it_is_there_for_and_nothing_else(
    wired: Vhost, role: Callable[[], User], writes: set[str], reads: set[str]
) -> None:
    user = login_as(wired, role())
    for exchange, key in WRITES.items():
        if exchange in writes:
            await publish(wired, user, exchange, key, user_id=user.name, body=exchange.encode())
            assert await taken(wired, LANDS_IN[exchange]) == exchange.encode()
        else:
            await refused(publish(wired, user, exchange, key))
    for queue in READS:
        if queue in reads:
            assert await taken(wired, queue, user) is None
        else:
            await refused(taken(wired, queue, user))
    await refused(publish(wired, user, "", "handrail.goals"))
    await declares_nothing(wired, user)


async def declares_nothing(vhost: Vhost, user: Login) -> None:
    """Neither queues, transient ones included, nor exchanges nor bindings; and it deletes and purges nothing else."""
    quorum: dict[str, Any] = {"x-queue-type": "quorum"}
    async with channel_of(vhost, user) as channel:
        await refused(channel.declare_queue("handrail.activity.other", durable=True, arguments=quorum))
    async with channel_of(vhost, user) as channel:
        await refused(channel.declare_queue("own", exclusive=True))
    async with channel_of(vhost, user) as channel:
        await refused(channel.declare_exchange("handrail.other", durable=True))
    async with channel_of(vhost, user) as channel:
        await refused((await channel.get_queue("handrail.activity.papers", ensure=False)).bind("handrail.events", "#"))
    async with channel_of(vhost, user) as channel:
        await refused(channel.queue_delete("handrail.goals"))


async def test_everybody_may_look_whether_a_queue_is_there(wired: Vhost) -> None:
    """RabbitMQ 4.2.6 and 4.3.0 want the right to declare for it; before and after, no right is needed."""
    async with channel_of(wired, login_as(wired, runtime())) as channel:
        queue = await channel.declare_queue("handrail.goals", passive=True)
        assert queue.declaration_result.message_count == 0


async def test_the_broker_vouches_for_who_sent_a_message(wired: Vhost) -> None:
    shop = login_as(wired, goal_service("shop"))
    with pytest.raises(ChannelPreconditionFailed, match="user_id"):
        await publish(wired, shop, "handrail.goals", "goal", user_id="somebody-else")
    keeper = login_as(wired, operator())
    await publish(wired, keeper, "handrail.goals", "goal", user_id="somebody-else", body=b"again")
    assert await taken(wired, "handrail.goals") == b"again"
    assert await taken(wired, "handrail.goals") is None


async def test_an_approval_service_is_held_to_its_definitions(wired: Vhost) -> None:
    desk = login_as(wired, approval_service("desk", ["Vendor onboarding review"]))
    await publish(wired, desk, "handrail.approvals", "approval.vendor-onboarding-review")
    await refused(publish(wired, desk, "handrail.approvals", "approval.refunds"))


async def test_what_an_outsider_cannot_route_is_kept_aside(wired: Vhost) -> None:
    shop = login_as(wired, goal_service("shop"))
    await publish(wired, shop, "handrail.goals", "no such key", body=b"lost?")
    assert await taken(wired, "handrail.unrouted") == b"lost?"


async def test_a_command_that_no_queue_takes_comes_back(wired: Vhost) -> None:
    with pytest.raises(aio_pika.exceptions.DeliveryError):
        await publish(wired, login_as(wired, runtime()), "handrail.commands", "no.such.queue")


async def test_what_is_rejected_or_delivered_too_often_reaches_its_dead_queue(wired: Vhost) -> None:
    user = login_as(wired, runtime())
    for body in (b"rejected", b"poisonous"):
        await publish(wired, user, "handrail.commands", "papers", body=body)
    async with channel_of(wired, user) as channel:
        queue = await channel.get_queue("handrail.activity.papers", ensure=False)
        first = await queue.get(timeout=10)
        assert first is not None
        await first.reject(requeue=False)
        returned = 0
        while (message := await queue.get(fail=False, timeout=10)) is not None:
            returned += 1
            await message.reject(requeue=True)
        assert returned == 11
    async with channel_of(wired, user) as channel:
        dead = await channel.get_queue(dead_queue("handrail.activity.papers"), ensure=False)
        found = set()
        async with asyncio.timeout(20), dead.iterator() as letters:
            async for letter in letters:
                found.add(letter.body)
                await letter.ack()
                if found == {b"rejected", b"poisonous"}:
                    break
