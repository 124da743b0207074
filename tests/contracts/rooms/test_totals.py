"""What the views come to, on PostgreSQL; and that the oldest are found by indexes, whatever the views hold."""

from projections.totals import oldest_statement
from tests.unit.projections.conftest import Place
from tests.unit.projections.test_totals import *  # noqa: F403 - each of its tests


def test_the_oldest_are_found_by_indexes(place: Place) -> None:
    question = oldest_statement(2).replace("(?)", "('demo')")
    plan = "\n".join(row[0] for row in place.recorder.query(f"EXPLAIN (COSTS OFF) {question}"))
    assert "Seq Scan" not in plan, plan
    assert "workflows_oldest" in plan, plan
    assert "waits_by_reason" in plan, plan
