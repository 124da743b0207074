"""Every history of a store decided again: what differs is found, whatever it is and wherever a page or a piece ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import chain
from pathlib import Path

import pytest

from deploy.opened import open_store
from domain.ports import Cursor
from domain.recorded import RecordedEvent, to_state
from domain.store.application import WorkflowStore
from domain.store.mapper import EventRow
from projections.replaying import checking, streaming
from projections.replaying.checking import Checked, CheckingAll
from tests.unit.domain.recipes import act, define, reserve
from tests.unit.domain.scenario import BEGINNING, Loaded, Scenario
from tests.unit.projections.replaying.faults import changed

PLAIN = define(act("look"), reserve(), act("tell"))
LONG = define(*(act(f"step{number:02d}") for number in range(20)), name="long")
HIDDEN = define(act("beat"), name="handrail-heartbeat")
KNOWN = Loaded({(one.name, one.version): one for one in (PLAIN, LONG, HIDDEN)})


class _Keys:
    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def run(self, cursor: Cursor) -> None:
        rows = [(name, "") for name in self._names]
        cursor.executemany("INSERT INTO workflow_keys (workflow_id, key) VALUES (?, ?)", rows)


def put(store: WorkflowStore, *histories: Sequence[RecordedEvent]) -> None:
    """Write histories as the engine would have."""
    rows = [
        EventRow(one.originator_id, one.originator_version, one.name, to_state(one))
        for all_ in histories
        for one in all_
    ]
    store.recorder.insert_rows(rows, along=[_Keys([each[0].originator_id for each in histories])])


def plain(number: int) -> list[RecordedEvent]:
    scenario = Scenario(PLAIN, f"wf_{number:03d}")
    scenario.replays = False
    return scenario.later(minutes=number).started().ok("look").ok("reserve").ok("tell").history


def long(number: int) -> list[RecordedEvent]:
    scenario = Scenario(LONG, f"wf_{number:03d}")
    scenario.replays = False
    scenario.started()
    for place in range(20):
        scenario.ok(f"step{place:02d}")
    return scenario.history


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkflowStore]:
    opened = open_store(tmp_path, Loaded())
    yield opened
    opened.close()


def checked(store: WorkflowStore, definitions: Loaded = KNOWN, name: str = "", **since: float) -> list[Checked]:
    check = CheckingAll(store.reading, store.mapper.read, definitions)
    begin = BEGINNING + timedelta(**since) if since else None
    return list(check.run(lambda one: name in one, begin))


def found(store: WorkflowStore, definitions: Loaded = KNOWN) -> list[tuple[str, str, int | None]]:
    return [(one.workflow, one.word, one.version) for one in checked(store, definitions) if one.word != "agrees"]


@pytest.mark.parametrize(("page", "read"), [(250, 2_000), (1, 1), (2, 7), (3, 4)])
def test_what_is_as_recorded_agrees_whatever_the_pages(
    store: WorkflowStore, page: int, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "WORKFLOWS_A_PAGE", page)
    monkeypatch.setattr(streaming, "EVENTS_A_READ", read)
    put(store, *(plain(number) for number in range(5)), long(7))
    all_ = checked(store)
    assert [(one.workflow, one.word, one.events) for one in all_] == [
        *((f"wf_{number:03d}", "agrees", 9) for number in range(5)),
        ("wf_007", "agrees", 43),
    ]


@pytest.mark.parametrize(("page", "read"), [(250, 2_000), (2, 7)])
def test_each_way_of_differing_is_found_at_its_event(
    store: WorkflowStore, page: int, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "WORKFLOWS_A_PAGE", page)
    monkeypatch.setattr(streaming, "EVENTS_A_READ", read)
    gap, tampered = plain(3), changed(plain(5), 5, b'"activity":"reserve"', b'"activity":"deserve"')
    put(store, plain(1), gap, plain(4), tampered, long(6))
    with store.transaction() as cursor:
        cursor.execute("DELETE FROM stored_events WHERE originator_id = 'wf_003' AND originator_version = 4")
        cursor.execute("DELETE FROM stored_events WHERE originator_id = 'wf_004'")
        cursor.execute(
            "UPDATE stored_events SET topic = 'New' WHERE originator_id = 'wf_006' AND originator_version = 9"
        )
    assert found(store) == [
        ("wf_003", "damaged", 4),
        ("wf_004", "damaged", 1),
        ("wf_005", "damaged", 5),
        ("wf_006", "damaged", 9),
    ]


def test_a_change_that_decides_nothing_is_found_by_its_digest(store: WorkflowStore) -> None:
    scenario = Scenario(PLAIN, "wf_001").started().ok("look", worker="honest")
    put(store, changed(scenario.history, 4, b"honest", b"forged"))
    assert found(store) == [("wf_001", "damaged", 4)]


def test_a_tombstone_beside_events_hides_nothing(store: WorkflowStore) -> None:
    put(store, changed(plain(5), 5, b'"activity":"reserve"', b'"activity":"deserve"'))
    with store.transaction() as cursor:
        cursor.execute(
            "INSERT INTO tombstones VALUES "
            "('wf_005', 'd', '1', 'completed', 3, 'x', 1, 2, NULL, 'e', 'a', 'b', 'r', 'f', 'r')"
        )
    assert found(store) == [("wf_005", "damaged", 5)]


def test_a_changed_definition_is_found_where_it_decides_otherwise(store: WorkflowStore) -> None:
    put(store, plain(1), long(2), plain(3))
    other = Loaded({**KNOWN.known, ("test", "1"): define(act("look"), reserve("deserve"), act("tell"))})
    assert found(store, other) == [("wf_001", "differs", 2), ("wf_003", "differs", 2)]
    one = next(one for one in checked(store, other) if one.workflow == "wf_001")
    assert one.verdict is not None
    assert (one.verdict.suspect, one.differs) == ("definition", True)


def test_another_engine_and_a_missing_definition_are_nobodys_fault(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("domain.recorded.ENGINE", "0")
        history = plain(1)
    put(store, history, long(2))
    other = Loaded({("test", "1"): define(act("look"), reserve("deserve"), act("tell"))})
    assert [(one.word, one.differs) for one in checked(store, other)] == [
        ("other_engine", False),
        ("definition_missing", False),
    ]


def test_what_agrees_is_read_only_once(store: WorkflowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, plain(1), long(2))
    monkeypatch.setattr(checking, "read_history", lambda *_, **__: pytest.fail("it was read once more"))
    assert [one.word for one in checked(store)] == ["agrees", "agrees"]


def test_those_of_a_definition_and_those_that_moved_since_then(store: WorkflowStore) -> None:
    put(store, long(0), *(plain(number) for number in range(1, 6)))
    assert [one.workflow for one in checked(store, name="long")] == ["wf_000"]
    assert [one.workflow for one in checked(store, minutes=4)] == ["wf_004", "wf_005"]
    assert checked(store, minutes=400) == []


def test_handrails_own_workflows_are_left_out(store: WorkflowStore) -> None:
    scenario = Scenario(HIDDEN, "beat-1").started().ok("beat")
    put(store, scenario.history, plain(1))
    assert [one.workflow for one in checked(store)] == ["wf_001"]


def test_what_comes_later_is_not_looked_at(store: WorkflowStore) -> None:
    first, later = plain(1), plain(2)
    put(store, first[:5])
    check = CheckingAll(store.reading, store.mapper.read, KNOWN)
    store.recorder.insert_rows(
        [EventRow(one.originator_id, one.originator_version, one.name, to_state(one)) for one in first[5:]]
    )
    put(store, later)
    assert [(one.workflow, one.events, one.word) for one in check.run(lambda _: True)] == [("wf_001", 5, "agrees")]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7])
def test_ranges_together_hold_all_workflows_once(store: WorkflowStore, size: int) -> None:
    put(store, *(plain(number) for number in range(6)))
    check = CheckingAll(store.reading, store.mapper.read, KNOWN)
    ranges = list(check.ranges(size))
    by_range = [[one.workflow for one in check.run(lambda _: True, among=among)] for among in ranges]
    assert list(chain.from_iterable(by_range)) == [f"wf_{number:03d}" for number in range(6)]
    assert max(map(len, by_range)) == min(size, 6)
