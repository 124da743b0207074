"""Claims, on PostgreSQL."""

from domain.store.application import WorkflowStore
from tests.databases import by_index
from tests.unit.consumers.test_claims import *  # noqa: F403 - each of its tests


def test_the_sweeps_questions_are_answered_by_index(store: WorkflowStore) -> None:  # type: ignore[no-redef]  # instead
    select = "SELECT message_id FROM inbox WHERE"
    assert "inbox_claimed" in by_index(store, f"{select} state = 'claimed' AND lease_until <= 1.0")
    assert "inbox_expiring" in by_index(store, f"{select} state = 'open' AND expires_at <= 1.0")
    by_instant = f"{select} state = 'open' AND issue_after <= 1.0 ORDER BY issue_after LIMIT 5"
    assert "inbox_open" in by_index(store, by_instant)
