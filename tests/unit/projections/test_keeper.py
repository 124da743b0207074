"""Rows and position in one transaction: whatever the batches, the evictions and the rivals, the rows are the same."""

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain import events as e
from domain.recorded import RecordedEvent
from projections.keeper import Keeper, Unreadable
from projections.projector import catch_up
from projections.queries import count_statuses, list_workflows, open_workflows, tallies
from projections.rows import StepRow, WorkflowRow
from projections.schema import STEP_COLUMNS, WORKFLOW_COLUMNS
from projections.sql import ViewsAlong, _step_values, _workflow_values
from projections.stuck import first_look, rounded
from projections.thresholds import AT_ONCE
from projections.views import fold
from tests.unit.projections.conftest import Place
from tests.unit.projections.histories import FIXED, PLANNED, history


def histories(seed: int, workflows: int = 6) -> list[RecordedEvent]:
    """Several workflows' events, mixed as a log mixes them."""
    chance = random.Random(seed)
    streams = [
        history(seed + number, chance.randint(1, 50), chance.choice([FIXED, PLANNED]), f"wf_{number:03d}")
        for number in range(workflows)
    ]
    log: list[RecordedEvent] = []
    while any(streams):
        stream = chance.choice([one for one in streams if one])
        length = chance.randint(1, 8)
        log += stream[:length]
        del stream[:length]
    return log


def folded(log: list[RecordedEvent]) -> dict[str, WorkflowRow]:
    """One fold in memory, with when to look at each."""
    rows: dict[str, WorkflowRow] = {}
    for recorded in log:
        fold(rows.setdefault(recorded.originator_id, WorkflowRow(recorded.originator_id)), recorded)
    for row in rows.values():
        look_at = first_look(row, AT_ONCE)
        row.look_at = rounded(look_at) if look_at is not None else None
    return rows


def expected(log: list[RecordedEvent]) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """The rows as one fold in memory gives them."""
    rows = folded(log)
    steps = [_step_values(row.workflow_id, step) for row in rows.values() for step in row.steps.values()]
    return sorted(map(_workflow_values, rows.values())), sorted(steps, key=lambda values: values[:2])


@given(seed=st.integers(0, 2**32), batch=st.integers(1, 40), at_hand=st.integers(0, 4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_do_not_depend_on_batches_nor_on_what_is_at_hand(
    tmp_path_factory: pytest.TempPathFactory, seed: int, batch: int, at_hand: int
) -> None:
    place = Place(tmp_path_factory.mktemp("views") / "store.sqlite")
    log = histories(seed)
    place.put(log)
    keeper = Keeper(place.recorder, rows_at_hand=at_hand)
    keeper.begin()
    while entries := place.log.read(keeper.position, batch):
        keeper.take(entries)
        assert keeper.write()
    workflows, steps = expected(log)
    assert place.rows("workflows") == workflows
    assert place.rows("steps") == steps
    assert place.rows("parked_views") == []
    place.recorder.close()


def test_the_columns_are_those_of_the_tables(place: Place) -> None:
    with place.recorder.reading() as cursor:
        for table, columns in (("workflows", WORKFLOW_COLUMNS), ("steps", STEP_COLUMNS)):
            names = [name for (name,) in cursor.query(f"SELECT name FROM pragma_table_info('{table}')")]
            assert names == list(columns)


def test_of_two_keepers_the_second_begins_again_behind_the_first(path: Path, place: Place) -> None:
    place.put(histories(7))
    other = Place(path)
    first, second = Keeper(place.recorder), Keeper(other.recorder)
    for keeper, reads in ((first, place.log), (second, other.log)):
        keeper.begin()
        keeper.take(reads.read(0, 30))
    assert first.write()
    assert not second.write()
    assert second.position == 30
    catch_up(second, other.log)
    assert not first.pending
    workflows, steps = expected(histories(7))
    assert place.rows("workflows") == workflows
    assert place.rows("steps") == steps
    other.recorder.close()


def test_a_rebuild_gives_the_same_rows(place: Place) -> None:
    place.put(histories(11))
    keeper = Keeper(place.recorder)
    catch_up(keeper, place.log)
    before = place.rows("workflows"), place.rows("steps")
    with place.recorder.transaction() as cursor:
        cursor.execute("UPDATE workflows SET status = 'nonsense', goal = 'lost'")
        cursor.execute("DELETE FROM steps")
    keeper.rebuild()
    assert place.rows("workflows") == []
    catch_up(keeper, place.log)
    assert (place.rows("workflows"), place.rows("steps")) == before


def test_a_nul_character_is_shown_as_its_sign(place: Place) -> None:
    """The words of an exception may hold one; PostgreSQL keeps none, and the views must not stop for it."""
    row = WorkflowRow("wf_1", goal="a\0b", reason="c\0d")
    row.steps["s"] = StepRow("s", 1, "activity", "count", failure="e\0f")
    row.changed["s"] = None
    with place.recorder.transaction() as cursor:
        ViewsAlong([row], [("wf_2", 1, "g\0h")]).run(cursor)
    with place.recorder.reading() as cursor:
        assert cursor.query("SELECT goal, reason FROM workflows") == [("a␀b", "c␀d")]
        assert cursor.query("SELECT failure FROM steps") == [("e␀f",)]
        assert cursor.query("SELECT error FROM parked_views") == [("g␀h",)]


def test_a_rebuild_of_what_was_never_built(place: Place) -> None:
    Keeper(place.recorder).rebuild()
    assert place.rows("workflows") == []


def test_an_event_that_cannot_be_read_parks_its_workflow_only(place: Place) -> None:
    log = histories(3)
    place.put(log)
    with place.recorder.transaction() as cursor:
        cursor.execute(
            "UPDATE stored_events SET state = ? WHERE originator_id = 'wf_002' AND originator_version = 3", (b"x",)
        )
    keeper = Keeper(place.recorder)
    catch_up(keeper, place.log)
    ((workflow, _, error),) = place.rows("parked_views")
    assert workflow == "wf_002"
    assert "wf_002 event 3" in str(error)
    assert keeper.parked == 1
    workflows, _ = expected([event for event in log if event.originator_id != "wf_002"])
    assert [row for row in place.rows("workflows") if row[0] != "wf_002"] == workflows


def test_a_history_that_does_not_fold_parks_its_workflow_and_keeps_what_was_written(place: Place) -> None:
    events = history(5, workflow_id="wf_009")
    place.put([*events[:2], *events[3:], *history(6)])
    keeper = Keeper(place.recorder)
    keeper.begin()
    keeper.take(place.log.read(0, 2))
    keeper.write()
    catch_up(keeper, place.log)
    ((workflow, position, error),) = place.rows("parked_views")
    assert (workflow, position, error) == ("wf_009", 3, "event 4 does not follow event 2")
    assert [row[:2] for row in place.rows("workflows")] == [
        ("wf_001", history(6)[-1].originator_version),
        ("wf_009", 2),
    ]


def test_parking_twice_is_parking_once(place: Place) -> None:
    keeper = Keeper(place.recorder)
    keeper.begin()
    keeper.take([Unreadable(1, "wf_001", "torn"), Unreadable(2, "wf_001", "torn again")])
    assert keeper.write()
    assert place.rows("parked_views") == [("wf_001", 1, "torn")]
    assert keeper.begin() == 2


def test_lists_filter_by_status_and_tags_in_the_order_of_beginnings(place: Place) -> None:
    place.put(histories(21, workflows=9))
    catch_up(Keeper(place.recorder), place.log)
    with place.recorder.transaction() as cursor:
        cursor.execute('UPDATE workflows SET tags = \'{"team": "red", "size": "5"}\' WHERE workflow_id = \'wf_004\'')
    with place.recorder.reading() as cursor:
        everything = list(list_workflows(cursor.query))
        assert len(everything) == 9
        assert [row["workflow_id"] for row in list_workflows(cursor.query, tags={"team": "red"})] == ["wf_004"]
        assert list(list_workflows(cursor.query, tags={"team": "red", "size": "6"})) == []
        for status, count in count_statuses(cursor.query).items():
            assert len(list(list_workflows(cursor.query, status=status))) == count
        ended = {row["workflow_id"] for row in everything if row["ended_at"] is not None}
        assert {name for name, _ in open_workflows(cursor.query)} == {f"wf_{n:03d}" for n in range(9)} - ended
        blocked = next(row for row in everything if row["waits"])
        assert blocked["waits"][0].keys() == {"step", "reason"}


def test_only_names_that_begin_exactly_so_are_hidden(place: Place) -> None:
    names = ("Handrail-orders", "handrail", "handrail-heartbeat", "my-handrail-orders")
    with place.recorder.transaction() as cursor:
        cursor.executemany("INSERT INTO tallies VALUES (?, 'completed', '', 1)", [(name,) for name in names])
    with place.recorder.reading() as cursor:
        shown = {definition for definition, *_ in tallies(cursor.query)}
    assert shown == {"Handrail-orders", "handrail", "my-handrail-orders"}


@given(seed=st.integers(0, 2**32), batch=st.integers(1, 40), at_hand=st.integers(0, 4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_views_beside_do_not_depend_on_batches_either(
    tmp_path_factory: pytest.TempPathFactory, seed: int, batch: int, at_hand: int
) -> None:
    place = Place(tmp_path_factory.mktemp("views") / "store.sqlite")
    log = histories(seed)
    place.put(log)
    keeper = Keeper(place.recorder, rows_at_hand=at_hand)
    keeper.begin()
    while entries := place.log.read(keeper.position, batch):
        keeper.take(entries)
        assert keeper.write()
    rows = folded(log).values()
    waits = [(row.workflow_id, key) for row in rows for key in (*row.standing.waits, *row.standing.pending)]
    assert [values[:2] for values in place.rows("waits")] == sorted(waits)
    ended = Counter(
        (one.originator_id, one.event.step, one.event.kind, one.event.attempt)
        for one in log
        if isinstance(one.event, e.AttemptFailed | e.AttemptLapsed | e.CommandDeadLettered | e.StepTimedOut)
    )
    assert ended.keys() <= {values[:4] for values in place.rows("attempts")}
    failed = Counter(one.event.failure.fingerprint for one in log if isinstance(one.event, e.AttemptFailed))
    known = {str(values[0]): int(str(values[4])) for values in place.rows("failures")}
    assert failed.keys() <= known.keys()
    assert all(known[fingerprint] >= number for fingerprint, number in failed.items())
    counted = Counter((row.definition, row.status, "") for row in rows)
    assert {values[:3]: values[3] for values in place.rows("tallies") if values[3]} == counted
    place.recorder.close()
