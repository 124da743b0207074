"""Held goals, on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

from deploy.held_goals import HeldGoals
from domain.store.application import WorkflowStore
from tests.integration.serving.deployment import LIMIT_SECONDS, until
from tests.unit.consumers.stage import DatabaseClock
from tests.unit.deploy.test_held_goals import *  # noqa: F403 - each of its tests
from tests.unit.deploy.test_held_goals import DESK, goal


def test_who_comes_second_to_a_goal_does_not_take_it(
    store: WorkflowStore, table: HeldGoals, clock: DatabaseClock
) -> None:
    table.hold(goal())
    clock.at += 5
    with ThreadPoolExecutor(1) as threads:
        with store.transaction() as cursor:
            cursor.execute("UPDATE goals_held SET times = times + 1, next_try = next_try + 100")
            taking = threads.submit(table.take, DESK, 10)
            until(lambda: cursor.query("SELECT 1 FROM pg_locks WHERE NOT granted"), "it waits for nobody")
        assert taking.result(LIMIT_SECONDS) == []


def test_who_looks_for_goals_asks_one_statement(store: WorkflowStore, table: HeldGoals) -> None:
    server = store.recorder.datastore  # type: ignore[attr-defined]  # PostgreSQL's has one
    table.take(DESK, 10)
    before = server.round_trips
    for _ in range(10):
        assert table.take(DESK, 10) == []
    assert server.round_trips - before == 10
