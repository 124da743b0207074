"""What will wake workflows and what was given up, on PostgreSQL; a page of either is found by its index."""

from projections import queries
from tests.unit.projections.conftest import Place
from tests.unit.projections.test_queries import *  # noqa: F403 - each of its tests


def plan_of(place: Place, question: str) -> str:
    return "\n".join(row[0] for row in place.recorder.query(f"EXPLAIN (COSTS OFF) {question}"))


def test_a_page_is_found_by_its_index(place: Place) -> None:
    asked: list[tuple[str, int]] = []

    def query(statement: str, parameters: object) -> list[tuple[object, ...]]:
        asked.append((statement, statement.count("?")))
        return []

    for read in (queries.timers, queries.dead_lettered):
        assert list(read(query)) == []
    (due, _), (dead, _) = asked
    assert "waits_due" in plan_of(place, due.replace("LIMIT ?", "LIMIT 9").replace("?", "'2030'"))
    assert "attempts_by_outcome" in plan_of(place, dead.replace("LIMIT ?", "LIMIT 9").replace("?", "'2030'"))
