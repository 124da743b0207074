"""Dead letters that are held: bounded by number and by size, and all of them return."""

import asyncio

import pytest

from consumers.dead_queues import DeadQueues, HeldQueue
from domain.errors import BrokerUnfit
from tests.integration.dead.morgue import DEAD_GOALS, Morgue, dead_goal

PLENTY = 1_000_000


async def held(url: str, most: int, most_bytes: int = PLENTY, queue: str = DEAD_GOALS) -> HeldQueue:
    async with DeadQueues(url, name="test", most_bytes=most_bytes) as queues:
        return await queues.hold(queue, most)


def test_no_more_is_held_than_was_asked_for_and_it_says_how_many_are_left(morgue: Morgue) -> None:
    morgue.publish(*(dead_goal(number) for number in range(700)), login=morgue.deployment.runtime)
    url = morgue.deployment.vhost.url_of(morgue.operator)
    for most in (600, 16, 1):
        found = asyncio.run(held(url, most))
        assert (len(found.deliveries), found.more) == (most, 700 - most)
        morgue.wait_for(DEAD_GOALS, 700)
    everything = asyncio.run(held(url, 10_000))
    assert {one.message_id for one in everything.deliveries} == {f"m-{number}" for number in range(700)}
    assert everything.more == 0


def test_large_ones_are_not_all_held_at_once(morgue: Morgue) -> None:
    large = b"x" * 100_000
    morgue.publish(*(dead_goal(number, body=large) for number in range(60)), login=morgue.deployment.runtime)
    found = asyncio.run(held(morgue.deployment.vhost.url_of(morgue.operator), 10_000, most_bytes=2_000_000))
    assert 16 <= len(found.deliveries) <= 21
    assert found.more == 60 - len(found.deliveries)
    morgue.wait_for(DEAD_GOALS, 60)


def test_a_queue_that_is_missing_is_named(morgue: Morgue) -> None:
    with pytest.raises(BrokerUnfit, match=r"handrail\.dead\.activity\.nowhere cannot be read"):
        asyncio.run(held(morgue.deployment.vhost.url_of(morgue.operator), 1, queue="handrail.dead.activity.nowhere"))


def test_what_is_acknowledged_lets_nothing_more_be_held(morgue: Morgue) -> None:
    """Somebody may work on the same queue: from whoever looks, only what was asked for is kept."""
    morgue.publish(*(dead_goal(number) for number in range(40)), login=morgue.deployment.runtime)
    vhost = morgue.deployment.vhost

    async def work() -> tuple[int, int]:
        async with DeadQueues(vhost.url_of(morgue.operator), name="test") as queues:
            found = await queues.hold(DEAD_GOALS, 10)
            await queues.acknowledge(found.deliveries[:5])
            # What would be delivered because of it comes before the answer to a question that is asked later.
            again = await queues.hold(DEAD_GOALS, 10_000)
            await queues.acknowledge([*found.deliveries[5:], *again.deliveries[:10]])
            return len(found.deliveries), len(again.deliveries)

    assert asyncio.run(work()) == (10, 30)
    morgue.wait_for(DEAD_GOALS, 20)
