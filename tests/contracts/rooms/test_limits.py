"""Limits over all processes, on PostgreSQL."""

from domain.store.application import WorkflowStore
from tests.databases import by_index
from tests.unit.consumers.test_limits import *  # noqa: F403 - each of its tests


def test_the_questions_are_answered_by_index(store: WorkflowStore) -> None:  # type: ignore[no-redef]  # instead
    open_ones = "FROM inbox WHERE limited = 'bank' AND state = 'open'"
    running = "SELECT count(*) FROM inbox WHERE limited = 'bank' AND state = 'claimed'"
    assert "inbox_limited" in by_index(store, running)
    assert "inbox_deferred" in by_index(store, f"SELECT message_id {open_ones} AND due_at > 1.0 AND due_at <= 2.0")
    newest = f"SELECT 1 {open_ones} AND due_at IS NOT NULL ORDER BY due_at DESC LIMIT 5"
    assert "inbox_deferred" in by_index(store, newest)
