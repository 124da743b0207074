"""The projector's task: at once while the engine is idle, seldom while it is busy, and never stopped for good."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import TypeVar

import pytest
from prometheus_client import CollectorRegistry

from domain.errors import HandrailError, StoreUnavailable
from domain.ports import Notification
from domain.store.log import LogFollower
from projections.keeper import Keeper
from projections.metrics import ViewsMetrics
from projections.projector import (
    BUSY_INTERVAL_SECONDS,
    CROWD_EVENTS,
    LINGER_SECONDS,
    POLL_SECONDS,
    SLICE_EVENTS,
    Projector,
)
from tests.unit.projections.conftest import Place
from tests.unit.projections.histories import history
from tests.unit.projections.test_keeper import expected, histories

Result = TypeVar("Result")


class Bench:
    """A projector on a store, with a clock that only its own pauses move."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.clock = 1_000.0
        self.busy = False
        self.pauses: list[float] = []
        self.heard: list[tuple[str, bool]] = []
        """What was waited for to be done, and whether it was or was over; from the first trouble on."""
        self.keeper = Keeper(place.recorder)
        self.follower = LogFollower(self, 0, poll=timedelta(hours=1))
        self.registry = CollectorRegistry()
        self.metrics = ViewsMetrics(self.registry, [])
        self.metrics.at_hand = self.keeper.at_hand
        self.projector = Projector(
            self.keeper,
            self.follower,
            place.log,
            busy=lambda: self.busy,
            meter=self.metrics,
            seconds=lambda: self.clock,
            pause=self.pause,
            waiting=self.waiting,
        )

    def waiting(self, doing: str, trouble: HandrailError | None, /) -> None:
        if trouble is not None or self.heard:
            self.heard.append((doing, trouble is not None))

    def select(self, after: int, limit: int) -> list[Notification]:
        rows = self.place.recorder.select_log(after, limit)
        return [Notification(position, self.place.mapper.read(*row)) for position, row in rows]

    def data_version(self) -> int:
        return self.place.recorder.data_version()

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock += seconds
        await asyncio.sleep(0)

    async def until_position(self, position: int) -> None:
        async with asyncio.timeout(5):
            while self.keeper.position < position or self.keeper.pending:
                await self.others()

    async def others(self) -> None:
        await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.projector.run())
        try:
            yield
        finally:
            self.follower.close()
            async with asyncio.timeout(5):
                await task


@pytest.fixture
def bench(place: Place) -> Bench:
    return Bench(place)


async def test_an_idle_engine_sees_its_rows_after_a_moment(bench: Bench) -> None:
    log = histories(31)
    bench.place.put(log)
    async with bench.running():
        await bench.until_position(len(log))
    assert bench.place.rows("workflows") == expected(log)[0]
    assert set(bench.pauses) == {0, LINGER_SECONDS}


async def test_a_busy_engine_is_written_about_once_in_an_interval(bench: Bench) -> None:
    events = history(32, 60)
    writes: list[float] = []
    async with bench.running():
        bench.busy = True
        for number, event in enumerate(events, start=1):
            bench.place.put([event])
            bench.follower.look_again()
            await bench.until_position(number)
            writes.append(bench.clock)
    gaps = [later - earlier for earlier, later in itertools.pairwise(writes)]
    assert min(gaps) == pytest.approx(BUSY_INTERVAL_SECONDS)


async def test_an_engine_that_falls_idle_is_written_about_before_the_interval_ends(bench: Bench) -> None:
    events = history(33, 60)
    async with bench.running():
        bench.place.put(events[:1])
        await bench.until_position(1)
        bench.busy = True
        bench.place.put(events[1:])
        bench.follower.look_again()
        while POLL_SECONDS not in bench.pauses:
            await bench.others()
        bench.busy = False
        await bench.until_position(len(events))
    assert bench.clock < 1_000 + BUSY_INTERVAL_SECONDS


async def test_a_crowd_of_events_counts_as_busy(bench: Bench) -> None:
    log = histories(41, workflows=8)
    half = len(log) // 2
    assert half > CROWD_EVENTS
    bench.place.put(log[:half])
    async with bench.running():
        await bench.until_position(half)
        assert bench.clock == 1_000 + LINGER_SECONDS
        bench.place.put(log[half:])
        bench.follower.look_again()
        await bench.until_position(len(log))
    assert bench.clock == pytest.approx(1_000 + LINGER_SECONDS + BUSY_INTERVAL_SECONDS)


async def test_others_run_between_slices(bench: Bench) -> None:
    log = histories(34, workflows=90)
    assert len(log) > 2 * SLICE_EVENTS
    bench.place.put(log)
    async with bench.running():
        await bench.until_position(len(log))
    assert bench.pauses.count(0) >= len(log) // SLICE_EVENTS


async def test_an_unreadable_event_does_not_stop_the_log(bench: Bench) -> None:
    bench.place.put([*history(35, workflow_id="wf_bad"), *history(36)])
    with bench.place.recorder.transaction() as cursor:
        cursor.execute(
            "UPDATE stored_events SET topic = 'Nonsense' WHERE originator_id = 'wf_bad' AND originator_version = 2"
        )
    total = len(bench.place.log.read(0, 10_000))
    async with bench.running():
        await bench.until_position(total)
    assert [row[0] for row in bench.place.rows("parked_views")] == ["wf_bad"]
    assert ("wf_001", history(36)[-1].originator_version) in [row[:2] for row in bench.place.rows("workflows")]
    assert bench.registry.get_sample_value("handrail_events_total") == total


async def test_trouble_with_the_store_is_waited_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.place.put(history(37))
    total = len(history(37))
    transaction = bench.place.recorder.transaction
    refusals = iter([StoreUnavailable("the disk is full")])

    def sometimes(point: str = "commit") -> object:
        for refusal in refusals:
            raise refusal
        return transaction(point)

    monkeypatch.setattr(bench.place.recorder, "transaction", sometimes)
    async with bench.running():
        await bench.until_position(total)
    assert 1.0 in bench.pauses
    assert len(bench.place.rows("workflows")) == 1
    assert bench.heard[0] == ("keep the views", True)
    assert set(bench.heard[1:]) == {("keep the views", False)}


async def test_a_projector_that_waited_is_well_again_though_nothing_is_there_to_write(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = bench.keeper.begin
    refusals = [StoreUnavailable("gone"), StoreUnavailable("gone")]

    def sometimes() -> int:
        if refusals:
            raise refusals.pop()
        return begin()

    monkeypatch.setattr(bench.keeper, "begin", sometimes)
    async with bench.running(), asyncio.timeout(5):
        while len(bench.heard) < 3:
            await bench.others()
    assert bench.heard == [("keep the views", True), ("keep the views", True), ("keep the views", False)]


async def test_a_rival_only_costs_reading_again(bench: Bench) -> None:
    log = histories(38)
    bench.place.put(log[:20])
    async with bench.running():
        await bench.until_position(20)
        rival = Keeper(bench.place.recorder)
        bench.place.put(log[20:])
        rival.begin()
        rival.take(bench.place.log.read(20, 10))
        assert rival.write()
        bench.follower.look_again()
        await bench.until_position(len(log))
    assert bench.place.rows("workflows") == expected(log)[0]
    assert bench.place.rows("steps") == expected(log)[1]


async def test_a_keeper_that_begins_again_while_the_log_is_read_misses_nothing(bench: Bench) -> None:
    log = histories(39)
    begun = 0

    async def begin() -> None:
        nonlocal begun
        begun += 1
        bench.keeper.begin()

    async def aside(read: Callable[[], Result]) -> Result:
        found = read()
        if bench.keeper.position == 20 and not begun:
            await bench.projector.between(begin)
        return found

    bench.follower = LogFollower(bench, 0, poll=timedelta(hours=1), aside=aside)
    bench.projector = Projector(bench.keeper, bench.follower, bench.place.log, pause=bench.pause)
    bench.place.put(log[:20])
    async with bench.running():
        await bench.until_position(20)
        bench.place.put(log[20:30])
        bench.follower.look_again()
        while not begun:
            await bench.others()
        await bench.until_position(30)
        bench.place.put(log[30:])
        bench.follower.look_again()
        await bench.until_position(len(log))
    assert bench.place.rows("parked_views") == []
    assert bench.place.rows("workflows") == expected(log)[0]
    assert bench.place.rows("steps") == expected(log)[1]


async def test_what_is_left_at_the_end_is_written(bench: Bench) -> None:
    bench.place.put(history(39))
    await bench.projector.finish()
    assert len(bench.place.rows("workflows")) == 1


async def test_metrics_count_what_passes(bench: Bench) -> None:
    log = histories(40)
    bench.place.put(log)
    async with bench.running():
        await bench.until_position(len(log))
    assert bench.registry.get_sample_value("handrail_events_total") == len(log)
