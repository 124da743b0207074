"""What will wake workflows, and what was given up, read from the views page by page."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from domain import triggers as t
from domain.definitions import Definition, Step
from domain.events import CommandDeadLettered, LateOutcomeRecorded
from domain.recorded import RecordedEvent
from domain.workflow import Workflow
from projections import queries
from projections.keeper import Keeper
from projections.projector import catch_up
from projections.queries import dead_lettered, timers
from projections.rows import UNDO
from projections.sql import awaited, text_of
from tests.unit.projections.conftest import Place
from tests.unit.projections.histories import START, Script, put, undo, write
from tests.unit.projections.test_keeper import folded, histories

PERSON: dict[str, Any] = {"by": "olga", "reason": "because"}


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE_ROWS", 3)


@pytest.fixture
def log(place: Place) -> list[RecordedEvent]:
    """Histories of forty workflows, in the views."""
    made = histories(150, workflows=40)
    place.put(made)
    catch_up(Keeper(place.recorder), place.log)
    return made


def test_what_will_wake_a_workflow_is_told_with_what_is_overdue_first(place: Place, log: list[RecordedEvent]) -> None:
    due = sorted(
        (text_of(hold.due_at), row.workflow_id, key)
        for row in folded(log).values()
        for key, hold in awaited(row).items()
        if hold.due_at is not None
    )
    found = list(timers(place.recorder.query))
    assert [(one["due_at"], one["workflow_id"], one["key"]) for one in found] == due
    assert {"approval", "time", "retry", "signal", "child"} == {one["reason"] for one in found}
    assert all(one["step"] for one in found)
    assert {one["workflow_id"]: one["status"] for one in found} == {
        name: row.status for name, row in folded(log).items() if name in {one["workflow_id"] for one in found}
    }


def test_only_what_is_due_before_an_instant_and_of_a_definition(place: Place, log: list[RecordedEvent]) -> None:
    everything = list(timers(place.recorder.query))
    middle = everything[len(everything) // 2]["due_at"]
    assert list(timers(place.recorder.query, before=middle)) == [one for one in everything if one["due_at"] < middle]
    for name in ("fixed", "planned", "another"):
        expected = [one for one in everything if one["definition"] == name]
        assert list(timers(place.recorder.query, definition=name)) == expected
    assert log


def test_handrails_own_are_left_out_of_both(place: Place, log: list[RecordedEvent]) -> None:
    with place.recorder.transaction() as cursor:
        for table in ("workflows", "waits"):
            cursor.execute(f"UPDATE {table} SET definition = 'handrail-heartbeat' WHERE definition = 'fixed'")
    assert {one["definition"] for one in timers(place.recorder.query)} == {"planned"}
    assert {one["definition"] for one in dead_lettered(place.recorder.query)} == {"planned"}
    assert list(dead_lettered(place.recorder.query, definition="handrail-heartbeat")) == []
    assert log


def test_what_was_given_up_is_told_the_last_first(place: Place, log: list[RecordedEvent]) -> None:
    reported = {
        (one.originator_id, one.event.step, one.event.attempt)
        for one in log
        if isinstance(one.event, LateOutcomeRecorded)
    }
    found = list(dead_lettered(place.recorder.query))
    assert len(found) > 2 * queries.PAGE_ROWS
    assert [one["ended_at"] for one in found] == sorted((one["ended_at"] for one in found), reverse=True)
    assert {(one["workflow_id"], one["step"], one["attempt"], one["ended_at"]) for one in found} == {
        (one.originator_id, one.event.step, one.event.attempt, text_of(one.timestamp))
        for one in log
        if isinstance(one.event, CommandDeadLettered)
        and (one.originator_id, one.event.step, one.event.attempt) not in reported
    }
    assert {one["failure"] for one in found} == {"no route"}
    since = found[4]["ended_at"]
    assert list(dead_lettered(place.recorder.query, since=since)) == [one for one in found if one["ended_at"] >= since]
    for name in ("fixed", "planned", "another"):
        expected = [one for one in found if one["definition"] == name]
        assert list(dead_lettered(place.recorder.query, definition=name)) == expected


ONE_BY_ONE = Definition("one by one", steps=[Step("store", put), Step("tell", write)], activities=[undo])


class Told:
    """One workflow, decided step by step, and what the views say of it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.script = Script(random.Random(1), ONE_BY_ONE, Workflow("wf_001"))
        self.keeper = Keeper(place.recorder)
        name = ONE_BY_ONE.name
        self.decide(t.StartWorkflow(goal="a goal", definition=name, definition_version="1", requested_by="rita"))

    def decide(self, trigger: t.Trigger, later: timedelta = timedelta(0)) -> None:
        self.script.at += later
        given = t.Given(trigger, self.script.at, "cause", "actor", frozenset(self.script.state.live))
        self.place.put(self.script.workflow.handle(given, ONE_BY_ONE).events)
        catch_up(self.keeper, self.place.log)

    def give_up(self, later: timedelta = timedelta(0)) -> datetime:
        """Have the command under way dead-lettered, so long after what was before; when."""
        (command,) = self.script.state.live
        _, step, kind, attempt = command.split("/")
        about: dict[str, Any] = {"step": step, "kind": kind, "attempt": int(attempt)}
        self.decide(t.DeadLetterCommand(**about, reason="no route"), later)
        return self.script.at

    def stands(self) -> list[tuple[str, int, str | None, str | None]]:
        return [
            (one["kind"], one["attempt"], one["step_status"], one["waits_for"])
            for one in dead_lettered(self.place.recorder.query)
        ]


def test_it_is_told_where_the_step_of_what_was_given_up_stands_now(place: Place) -> None:
    told = Told(place)
    at = told.give_up()
    (one,) = dead_lettered(place.recorder.query)
    assert (one["activity"], one["definition"], one["ended_at"]) == ("put", "one by one", text_of(at))
    assert told.stands() == [("run", 1, "retry_wait", "retry")]
    (due,) = timers(place.recorder.query)
    assert (due["step"], due["reason"], due["since"]) == ("store", "retry", text_of(START))
    assert due["due_at"] > due["since"]
    told.decide(t.Wake(), later=timedelta(seconds=5))
    assert told.stands() == [("run", 1, "scheduled", None)]
    assert list(timers(place.recorder.query)) == []
    told.give_up()
    waiting = ("failed", "intervention")
    assert told.stands() == [("run", 2, *waiting), ("run", 1, *waiting)]


def test_what_was_given_up_too_late_to_be_tried_again_is_told_as_such(place: Place) -> None:
    told = Told(place)
    at = told.give_up(later=timedelta(seconds=70))
    (one,) = dead_lettered(place.recorder.query)
    assert (one["ended_at"], one["failure"], one["step_status"]) == (text_of(at), "no route", "timed_out")


def test_what_is_undone_is_told_by_its_step(place: Place) -> None:
    told = Told(place)
    told.decide(t.RecordOutcome(step="store", kind="run", attempt=1, status="ok", output={}))
    told.decide(t.CancelWorkflow(**PERSON))
    told.give_up()
    (due,) = timers(place.recorder.query)
    assert (due["key"], due["step"], due["reason"]) == (f"retry:{UNDO}", "store", "retry")
    ((kind, _, status, waits_for),) = told.stands()
    assert (kind, status, waits_for) == ("compensate", "compensating", "retry")
