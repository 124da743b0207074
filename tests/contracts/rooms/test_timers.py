"""Timers, on PostgreSQL."""

from domain.store.application import WorkflowStore
from tests.databases import by_index
from tests.unit.producers.test_timers import *  # noqa: F403 - each of its tests


def test_the_timers_questions_are_answered_by_index(store: WorkflowStore) -> None:  # type: ignore[no-redef]  # instead
    for where in ("due_at <= 5.0", "due_at IS NOT NULL"):
        question = f"SELECT workflow_id FROM timers WHERE {where} ORDER BY due_at LIMIT 9"
        assert "timers_due" in by_index(store, question)
