"""Seals on a schedule: written when they are due, once, whoever leads; and what happens where they cannot be."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from prometheus_client import CollectorRegistry

from deploy.doctor.findings import Level
from deploy.doctor.seals import seals
from deploy.sealing import SEALED_ROW, Schedule, Sealing, read_sealed
from deploy.viewing import ViewsRole
from domain.errors import FenceMissed
from domain.store.application import WorkflowStore
from domain.store.aside import inline
from projections.exporting.verifying import Verification
from projections.metrics import ViewsMetrics
from tests.integration.exports.stock import fill, histories
from tests.integration.exports.store_tampering import held

Result = TypeVar("Result")

NOON = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class Clock:
    """An instant that a test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "seals"
    made.mkdir()
    return made


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> WorkflowStore:
    found: WorkflowStore = request.getfixturevalue("stocked" if request.param == "sqlite" else "stocked_postgres")
    return found


def take_away(folder: Path) -> None:
    folder.rmdir()


def put_back(folder: Path) -> None:
    folder.mkdir()


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


async def test_a_seal_is_written_when_it_is_due_whoever_leads(store: WorkflowStore, clock: Clock, folder: Path) -> None:
    first = Sealing(store, Schedule(DAY, folder), clock)
    assert await first.go_on() == 0.0
    assert names(folder) == ["handrail-seal-20300101T120000Z.seal"]
    content = (folder / names(folder)[0]).read_bytes()
    verdict = Verification().run(content.splitlines(keepends=True))
    assert (verdict.sound, verdict.workflows) == (True, 12)
    assert held(store, content) == []
    # Another process leads, or this one again: nothing is due for a day.
    clock.now += DAY - timedelta(seconds=30)
    other = Sealing(store, Schedule(DAY, folder), clock)
    assert await other.go_on() == 30.0
    assert await first.go_on() == 30.0
    assert len(names(folder)) == 1
    clock.now += timedelta(seconds=31)
    assert await other.go_on() == 0.0
    assert names(folder)[1:] == ["handrail-seal-20300102T120000Z.seal"]
    with pytest.raises(FenceMissed):
        await first.seal()
    # Who was second begins again from what the store says, and writes nothing.
    assert await first.go_on() == 0.0
    assert await first.go_on() > 0.0
    assert len(names(folder)) == 2


async def test_one_that_was_written_and_not_noted_is_not_written_again(
    stocked: WorkflowStore, clock: Clock, folder: Path
) -> None:
    sealing = Sealing(stocked, Schedule(DAY, folder), clock)
    await sealing.begin()
    written = folder / "handrail-seal-20300101T120000Z.seal"
    written.write_bytes(b"by who was killed then")
    clock.now += timedelta(minutes=5)
    again = Sealing(stocked, Schedule(DAY, folder), clock)
    assert await again.go_on() == 0.0
    assert names(folder) == [written.name]
    assert written.read_bytes() == b"by who was killed then"
    assert again.due == NOON + DAY


async def test_the_last_ones_are_kept_and_nothing_of_others_is_taken_away(
    stocked: WorkflowStore, clock: Clock, folder: Path
) -> None:
    (folder / "monday.seal").write_bytes(b"somebody's own")
    sealing = Sealing(stocked, Schedule(DAY, folder, keep=2), clock)
    for _ in range(4):
        assert await sealing.go_on() == 0.0
        clock.now += DAY
    assert names(folder) == [
        "handrail-seal-20300103T120000Z.seal",
        "handrail-seal-20300104T120000Z.seal",
        "monday.seal",
    ]


async def test_after_a_long_time_away_one_is_written_and_not_one_for_each_day(
    stocked: WorkflowStore, clock: Clock, folder: Path
) -> None:
    sealing = Sealing(stocked, Schedule(DAY, folder), clock)
    await sealing.go_on()
    clock.now += 10 * DAY
    await sealing.go_on()
    assert sealing.due == NOON + 11 * DAY
    assert len(names(folder)) == 2


async def test_what_fails_is_logged_and_tried_again_later_and_later(
    stocked: WorkflowStore, clock: Clock, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    take_away(folder)
    sealing = Sealing(stocked, Schedule(DAY, folder), clock)
    assert [await sealing.go_on() for _ in range(8)] == [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]
    assert "no seal was written, and it is tried again in 60 s" in caplog.text
    found = list(seals(Schedule(DAY, folder), lambda: sealing.now, lambda: NOON + timedelta(hours=2)))
    assert [one.level for one in found] == [Level.MEND, Level.NOTE, Level.WARN]
    assert "one is due since 2030-01-01 12:00 UTC" in found[2].text
    put_back(folder)
    assert await sealing.go_on() == 0.0
    assert len(names(folder)) == 1
    found = list(seals(Schedule(DAY, folder), lambda: sealing.now, lambda: NOON + timedelta(hours=2)))
    assert [one.level for one in found] == [Level.OK, Level.NOTE, Level.OK]
    assert read_sealed(stocked.query(SEALED_ROW)) == sealing.now


async def test_a_file_that_could_not_be_written_whole_is_not_there(
    stocked: WorkflowStore, clock: Clock, folder: Path
) -> None:
    asked = 0

    async def aside(work: Callable[[], Result]) -> Result:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise OSError(28, "No space left on device")
        return work()

    sealing = Sealing(stocked, Schedule(DAY, folder), clock, aside)
    assert await sealing.go_on() == 60.0
    assert asked > 2
    assert names(folder) == []


async def test_others_have_their_turn_between_two_pages_and_nothing_is_asked_while_none_is_due(
    stocked: WorkflowStore, clock: Clock, folder: Path
) -> None:
    fill(stocked, [one for one in histories(600) if one[0].originator_id > "wf_012"])
    turns = pages = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def aside(work: Callable[[], Result]) -> Result:
        nonlocal pages
        pages += 1
        return await inline(work)

    beside = asyncio.ensure_future(others())
    sealing = Sealing(stocked, Schedule(DAY, folder), clock, aside)
    await sealing.go_on()
    assert turns >= 3
    asked = pages
    for _ in range(10):
        await sealing.go_on()
    beside.cancel()
    assert pages == asked


async def test_whoever_leads_the_projector_seals_and_tells_prometheus(
    stocked: WorkflowStore, clock: Clock, folder: Path
) -> None:
    registry = CollectorRegistry()
    metrics = ViewsMetrics(registry, [])
    sealing = Sealing(stocked, Schedule(DAY, folder), clock)
    role = ViewsRole(stocked, busy=lambda: False, metrics=metrics, sealing=sealing)
    assert registry.get_sample_value("handrail_seal_due_timestamp_seconds") is None
    leading = asyncio.ensure_future(role.run())
    async with asyncio.timeout(30):
        while registry.get_sample_value("handrail_seal_last_timestamp_seconds") != NOON.timestamp():  # noqa: ASYNC110 - with a limit
            await asyncio.sleep(0)
    assert registry.get_sample_value("handrail_seal_due_timestamp_seconds") == (NOON + DAY).timestamp()
    assert names(folder) == ["handrail-seal-20300101T120000Z.seal"]
    leading.cancel()
    await asyncio.wait({leading})
    assert registry.get_sample_value("handrail_seal_due_timestamp_seconds") is None, "another one may know better"
