"""Held messages, on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

from tests.integration.serving.deployment import LIMIT_SECONDS, until
from tests.unit.consumers.conftest import process
from tests.unit.consumers.intake_stage import Process
from tests.unit.consumers.test_later import *  # noqa: F403 - each of its tests and fixtures
from tests.unit.consumers.test_later import APPROVALS

__all__ = ["process"]


async def test_who_looks_for_what_it_has_asks_one_statement(process: Process) -> None:
    server = process.store.recorder.datastore  # type: ignore[attr-defined]  # PostgreSQL's has one
    await process.later.once()
    before = server.round_trips
    for _ in range(10):
        assert await process.later.once() == (0, 0)
    assert server.round_trips - before == 10


async def test_who_comes_second_to_a_message_does_not_take_it(having: Process, lacking: Process) -> None:
    workflow_id = await having.goal()
    await lacking.send(lacking.decision(workflow_id))
    wanted = ([APPROVALS], ["refund 1"], 10)
    with ThreadPoolExecutor(1) as threads:
        with having.store.transaction() as cursor:
            cursor.execute("UPDATE messages_held SET next_try = 1e10")
            taking = threads.submit(lacking.held._take, *wanted)
            until(lambda: cursor.query("SELECT 1 FROM pg_locks WHERE NOT granted"), "it waits for nobody")
        assert taking.result(LIMIT_SECONDS) == []
