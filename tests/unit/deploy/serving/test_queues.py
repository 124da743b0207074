"""What the broker says of queues, kept with when it said so, and since when nobody consumes them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumers.looking import QueueLook
from deploy.serving.queues import LOOK_SECONDS, OLD_SECONDS, QueueWatch
from domain.topology import activity_queue, dead_queue
from projections.stuck import QueueFacts

START = datetime(2030, 1, 1, tzinfo=UTC)
ORDERS, OTHERS = activity_queue("orders"), activity_queue("others")


class Broker:
    """A broker as it is looked at."""

    def __init__(self) -> None:
        self.queues = {ORDERS: QueueLook(there=True, messages=3, consumers=2)}
        self.now = START

    def clock(self) -> datetime:
        return self.now

    async def queue(self, name: str) -> QueueLook:
        return self.queues.get(name, QueueLook(there=False))


class Watched:
    """A watch that tells of one queue of activities and a dead one."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.watch = QueueWatch("amqp://nobody@nowhere/", self.broker.clock, told=[ORDERS, dead_queue(ORDERS)])

    async def asked(self, **consumers: int) -> dict[str, QueueFacts]:
        """What is known after the next look, at which these queues have so many consumers."""
        for name, number in consumers.items():
            self.broker.queues[activity_queue(name)] = QueueLook(there=True, messages=3, consumers=number)
        self.broker.now += timedelta(seconds=LOOK_SECONDS)
        look: Any = self.broker
        await self.watch._ask(look)
        return dict(self.watch.now(()))


@pytest.fixture
def watched() -> Watched:
    return Watched()


async def test_queues_that_are_told_of_are_known_before_anybody_asks(watched: Watched) -> None:
    known = await watched.asked()
    assert known == {"orders": QueueFacts(2, 3, asked_at=watched.broker.now)}


async def test_those_asked_about_are_known_from_the_next_look_on(watched: Watched) -> None:
    await watched.asked()
    assert "others" not in watched.watch.now({"others"})
    assert (await watched.asked())["others"] == QueueFacts(
        0, asked_at=watched.broker.now, empty_since=watched.broker.now
    )


async def test_since_when_a_queue_is_empty_is_known_for_as_long_as_it_was_at_every_look(watched: Watched) -> None:
    watched.broker.queues[ORDERS] = QueueLook(there=True, consumers=2)
    emptied = (await watched.asked())["orders"]
    assert emptied.empty_since == emptied.asked_at
    assert (await watched.asked())["orders"].empty_since == emptied.asked_at
    assert (await watched.asked(orders=2))["orders"].empty_since is None
    watched.broker.queues[ORDERS] = QueueLook(there=True, consumers=2)
    assert (await watched.asked())["orders"].empty_since == watched.broker.now


async def test_since_when_nobody_consumes_is_known_of_queues_that_somebody_did(watched: Watched) -> None:
    assert (await watched.asked(orders=2))["orders"].unserved_since is None
    gone = (await watched.asked(orders=0))["orders"]
    assert gone.unserved_since == gone.asked_at == watched.broker.now
    still = (await watched.asked(orders=0))["orders"]
    assert still.unserved_since == gone.asked_at
    assert (await watched.asked(orders=1))["orders"].unserved_since is None
    assert (await watched.asked(orders=0))["orders"].unserved_since == watched.broker.now


async def test_a_queue_that_never_had_consumers_here_has_none_since_nobody_knows_when(watched: Watched) -> None:
    assert (await watched.asked(orders=0))["orders"].unserved_since is None
    assert (await watched.asked(orders=0))["orders"].unserved_since is None


async def test_a_queue_that_was_not_there_is_given_the_time_that_its_consumers_need_to_come_back(
    watched: Watched,
) -> None:
    await watched.asked(orders=1)
    watched.broker.queues.clear()
    gone = (await watched.asked())["orders"]
    assert (gone.consumers, gone.unserved_since) == (0, None)
    await watched.asked()
    assert (await watched.asked(orders=0))["orders"].unserved_since == watched.broker.now


async def test_what_is_old_says_nothing(watched: Watched) -> None:
    assert await watched.asked()
    watched.broker.now += timedelta(seconds=OLD_SECONDS + 1)
    assert watched.watch.now({"orders"}) == {}
    assert watched.watch.told()[1] == {}
