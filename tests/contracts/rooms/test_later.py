"""Held messages, on PostgreSQL."""

from tests.unit.consumers.conftest import process
from tests.unit.consumers.intake_stage import Process
from tests.unit.consumers.test_later import *  # noqa: F403 - each of its tests and fixtures

__all__ = ["process"]


async def test_who_looks_for_what_it_has_asks_one_statement(process: Process) -> None:
    server = process.store.recorder.datastore  # type: ignore[attr-defined]  # PostgreSQL's has one
    await process.later.once()
    before = server.round_trips
    for _ in range(10):
        assert await process.later.once() == (0, 0)
    assert server.round_trips - before == 10
