"""How far the log is, as the store says: by two statements at most, whoever is behind."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.loading import LoadedDefinitions
from deploy.opened import SCHEMA
from deploy.progress import Progress, read_progress
from domain.store.application import WorkflowStore
from domain.store.positions import MovePosition
from producers.parked import LET_GO, Parked
from producers.relay import RELAY
from projections.heartbeat import COMPLETED
from projections.schema import POSITION
from tests.databases import open_store
from tests.unit.projections.histories import history

EVENTS = history(7)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkflowStore]:
    opened = open_store(tmp_path / "store.db", definitions=LoadedDefinitions(), schema=SCHEMA)
    opened.recorder.insert_events([opened.mapper.to_stored_event(event) for event in EVENTS])
    yield opened
    opened.close()


def asked(store: WorkflowStore, monkeypatch: pytest.MonkeyPatch) -> tuple[Progress, int]:
    """What the store says, and how many statements that took."""
    statements: list[str] = []
    query = store.query

    def counted(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        statements.append(statement)
        return query(statement, parameters)

    monkeypatch.setattr(store, "query", counted)
    return read_progress(store), len(statements)


def test_who_is_behind_since_when(store: WorkflowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.run(MovePosition(RELAY, 0, len(EVENTS) - 2), MovePosition(POSITION, 0, 3))
    known, statements = asked(store, monkeypatch)
    relay, views = known.followers["relay"], known.followers["views"]
    assert (relay.position, relay.behind, relay.since) == (len(EVENTS) - 2, 2, EVENTS[-2].timestamp)
    assert (views.position, views.behind, views.since) == (3, len(EVENTS) - 3, EVENTS[3].timestamp)
    assert views.seconds(EVENTS[-1].timestamp) == (EVENTS[-1].timestamp - EVENTS[3].timestamp).total_seconds()
    assert (known.newest, statements) == (len(EVENTS), 2)


def test_nobody_is_behind(store: WorkflowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.run(MovePosition(RELAY, 0, len(EVENTS)), MovePosition(POSITION, 0, len(EVENTS)))
    known, statements = asked(store, monkeypatch)
    assert [(one.behind, one.seconds(EVENTS[-1].timestamp)) for one in known.followers.values()] == [(0, 0), (0, 0)]
    assert statements == 1


def test_what_cannot_be_read_is_counted_all_the_same(store: WorkflowStore) -> None:
    with store.transaction() as cursor:
        cursor.execute("UPDATE stored_events SET topic = 'Nonsense' WHERE id = 1")
    views = read_progress(store).followers["views"]
    assert (views.behind, views.since) == (len(EVENTS), None)


def test_what_else_the_store_says(store: WorkflowStore) -> None:
    assert read_progress(store) == Progress(len(EVENTS), read_progress(store).followers)
    Parked(store).keep([("wf_1", 1, "full"), ("wf_1", 2, "full")])
    with store.transaction() as cursor:
        cursor.executemany(
            "INSERT INTO timers (workflow_id, due_at) VALUES (?, ?)", [("wf_1", 20.5), ("wf_2", 10.5), ("wf_3", None)]
        )
    store.run(MovePosition(LET_GO, 0, 4), MovePosition(COMPLETED, 0, 1_900_000_000))
    known = read_progress(store)
    assert (known.timer_due, known.relay_parked) == (10.5, 2)
    assert (known.announcements_let_go, known.heartbeat_completed) == (4, 1_900_000_000)
