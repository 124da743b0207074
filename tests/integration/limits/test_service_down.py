"""A service that is down for a minute under thousands of workflows sees no more than its rate, and all complete."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.runtime import Runtime
from deploy.settings import Settings
from domain.definitions import Definition, Step, activity
from domain.errors import Transient
from domain.limits import Breaker, Limits, Rate
from domain.policies import RetryPolicy
from domain.state import Status
from tests.databases import set_clock

WORKFLOWS = 5_000
TICK = timedelta(milliseconds=250)
DOWN_SECONDS = 60.0
RATE = Rate(times=100, per=timedelta(seconds=1))
BREAKER = Breaker(share=0.5, over=20, open_for=timedelta(seconds=10))


class World:
    """The time, and the service with a book of its calls."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)
        self.up_at = self.now + timedelta(seconds=DOWN_SECONDS)
        self.calls: list[tuple[float, bool]] = []

    def seconds(self) -> float:
        """The database's clock."""
        return self.now.timestamp()

    def call(self) -> None:
        """Ask the service for something."""
        is_up = self.now >= self.up_at
        self.calls.append((self.seconds(), is_up))
        if not is_up:
            raise Transient("connection refused")

    @property
    def busiest(self) -> int:
        """The most calls in any span of the rate."""
        instants = Counter(at for at, _ in self.calls)
        per = RATE.per.total_seconds()
        return max(sum(count for other, count in instants.items() if at <= other < at + per) for at in instants)


world: list[World] = []


@activity(
    effect="idempotent",
    pivot=True,
    retry=RetryPolicy(max_attempts=8, initial_delay=timedelta(seconds=1), maximum_delay=timedelta(seconds=20)),
    limits=Limits(rate=RATE, breaker=BREAKER),
)
async def ask_service(given: dict[str, Any]) -> int:
    world[-1].call()
    return 1


ASKING = Definition("asking", steps=[Step("ask", ask_service)])


@pytest.fixture
def service() -> Iterator[World]:
    world.append(World())
    yield world[-1]
    world.clear()


def is_busy(runtime: Runtime, world: World) -> bool:
    """Whether anything is under way, or due by now."""
    now = world.seconds()
    with runtime.store.reading() as cursor:
        return runtime.busy or bool(
            cursor.query(
                "SELECT 1 WHERE EXISTS (SELECT 1 FROM inbox WHERE state = 'open' AND issue_after <= ?) "
                "OR EXISTS (SELECT 1 FROM timers WHERE due_at <= ?)",
                (now, now),
            )
        )


async def test_it_sees_no_more_than_its_rate_and_all_complete(tmp_path: Path, service: World) -> None:
    settings = Settings(sweep_seconds=0.01)
    async with Runtime(
        tmp_path, definitions=[ASKING], examples=False, clock=lambda: service.now, settings=settings, views=False
    ) as runtime:
        set_clock(runtime.store, service.seconds)
        ids = await asyncio.gather(*(runtime.start("asking", ASKING) for _ in range(WORKFLOWS)))
        async with asyncio.timeout(120):
            while service.now < service.up_at + timedelta(seconds=180):
                while is_busy(runtime, service):  # noqa: ASYNC110 - whatever is under way, whoever does it
                    await asyncio.sleep(0)
                if sum(is_up for _, is_up in service.calls) == WORKFLOWS:
                    break
                service.now += TICK
                runtime.look_at_clock()
        statuses = Counter([(await runtime.wait(name, timeout=10)).status for name in ids])
    assert statuses == {Status.COMPLETED: WORKFLOWS}
    assert service.busiest <= RATE.times
    # Until the breaker opens, and then one attempt for each time that it looks again.
    failed = sum(not is_up for _, is_up in service.calls)
    assert failed <= 2 * RATE.times + DOWN_SECONDS / BREAKER.open_for.total_seconds()
    assert len(service.calls) == WORKFLOWS + failed
    # And the rate is used once it is up again: half of it at the worst, since what is kept in memory for a moment waits
    # by the event loop's clock, which does not run ahead as the database's does here.
    took = service.calls[-1][0] - service.up_at.timestamp()
    assert took < 2 * WORKFLOWS / RATE.times + 3 * BREAKER.open_for.total_seconds()
