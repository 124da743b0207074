"""The inbox's rows follow from a turn's decisions; whatever is not as expected rolls the whole turn back."""

import dataclasses
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.inbox import InboxCompanion, command_digest, in_chunks, receive
from domain.chain import GENESIS
from domain.errors import FenceMissed, WorkflowConflict
from domain.events import STORED, Event, StepScheduled, StoppingBegan, WorkflowPaused
from domain.messages import StepCommand, command_of
from domain.ports import Command, Decided, Receipt, Request
from domain.recorded import record, stamp
from domain.state import UNDO, State
from domain.store.application import WorkflowStore
from domain.triggers import Wake
from tests.unit.consumers.stage import BEGINNING, LEASE_SECONDS, OWNER, DatabaseClock, open_inbox, put, rows


@pytest.fixture
def clock() -> DatabaseClock:
    return DatabaseClock()


@pytest.fixture
def store(tmp_path: Path, clock: DatabaseClock) -> Iterator[WorkflowStore]:
    opened = open_inbox(tmp_path, clock)
    yield opened
    opened.close()


class Free:
    """A starter with so much room."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.started: list[Command] = []

    def rooms(self) -> "Free":
        return Free(self.room)

    def take_for(self, state: State, activity: str) -> bool:
        self.room -= 1
        return self.room >= 0

    def start(self, commands: Sequence[Command]) -> None:
        self.started += commands


def scheduled(workflow_id: str, *, effect: str = "idempotent", attempt: int = 1) -> StepScheduled:
    return StepScheduled(
        step="a",
        kind="run",
        attempt=attempt,
        message_id=f"{workflow_id}/a/run/{attempt}",
        activity="act",
        queue="default",
        input={"x": 1},
        expires_at=BEGINNING + timedelta(hours=1),
        effect=effect,  # type: ignore[arg-type]
        key=f"{workflow_id}/a/run",
    )


def decided(
    workflow_id: str,
    *events: Event,
    completes: str | None = None,
    lapses: str | None = None,
    receipt: Receipt | None = None,
) -> Decided:
    request = Request(workflow_id, Wake(), BEGINNING, "test", "test", completes, lapses, receipt)
    state = State(workflow_id, definition="d", definition_version="1", requested_by="alice")
    stamped = stamp(workflow_id, BEGINNING, "test", "test", 1)
    recorded = tuple(record(event, stamped, number, GENESIS) for number, event in enumerate(events, 1))
    return Decided(request, state, recorded)


def save(store: WorkflowStore, companion: InboxCompanion, *turn: Decided) -> None:
    along = companion.along(turn)
    with store.transaction() as cursor:
        for each in along:
            each.run(cursor)
    companion.committed(turn)


def companion(starter: Free | None = None) -> InboxCompanion:
    made = InboxCompanion(OWNER, lease_seconds=LEASE_SECONDS)
    made.starter = starter
    return made


# --- commands -------------------------------------------------------------------------------------------------------


def test_where_nothing_runs_a_scheduled_command_is_open(store: WorkflowStore) -> None:
    inbox = companion()
    save(store, inbox, decided("wf_1", scheduled("wf_1")))
    assert rows(store) == {"wf_1": ("open", None)}
    with store.reading() as cursor:
        assert inbox.open_among(cursor, ["wf_1/a/run/1", "wf_2/a/run/1"]) == {"wf_1/a/run/1"}
        ((version, queue, expires_at),) = cursor.query("SELECT version, queue, expires_at FROM inbox")
    assert (version, queue) == (1, "default")
    assert expires_at == (BEGINNING + timedelta(hours=1)).timestamp()


def test_where_there_is_room_it_is_claimed_at_once_and_started(store: WorkflowStore, clock: DatabaseClock) -> None:
    starter = Free(room=1)
    inbox = companion(starter)
    save(store, inbox, decided("wf_1", scheduled("wf_1")), decided("wf_2", scheduled("wf_2")))
    assert rows(store) == {"wf_1": ("claimed", OWNER), "wf_2": ("open", None)}
    assert store.query("SELECT lease_until FROM inbox WHERE state = 'claimed'") == [(clock.at + LEASE_SECONDS,)]
    (command,) = starter.started
    assert (command.message_id, command.definition, command.requested_by) == ("wf_1/a/run/1", "d", "alice")
    assert (command.idempotency_key, command.claimed, dict(command.input)) == ("wf_1/a/run", True, {"x": 1})
    assert inbox.to_send is None, "nobody takes out of it in a process that has no relay of its own"


def test_what_becomes_of_a_command_is_kept_for_a_relay_that_takes_it_out(store: WorkflowStore) -> None:
    inbox = companion(Free(room=1))
    inbox.to_send = {}
    save(store, inbox, decided("wf_1", scheduled("wf_1")), decided("wf_2", scheduled("wf_2")))
    assert inbox.to_send == {"wf_1/a/run/1": False, "wf_2/a/run/1": True}


def test_what_a_relay_that_is_far_behind_does_not_take_out_is_bounded(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.inbox.MOST_NOTED", 1)
    inbox = companion()
    inbox.to_send = {}
    for number in range(3):
        save(store, inbox, decided(f"wf_{number}", scheduled(f"wf_{number}")))
    assert inbox.to_send == {"wf_0/a/run/1": True}


def test_a_once_activity_is_never_claimed_before_somebody_is_about_to_run_it(store: WorkflowStore) -> None:
    starter = Free()
    save(store, companion(starter), decided("wf_1", scheduled("wf_1", effect="once")))
    assert rows(store) == {"wf_1": ("open", None)}
    assert starter.started == []


def test_a_turn_that_failed_starts_nothing(store: WorkflowStore) -> None:
    starter = Free()
    inbox = companion(starter)
    inbox.along([decided("wf_1", scheduled("wf_1"))])
    inbox.along([decided("wf_2", scheduled("wf_2"))])
    inbox.committed([decided("wf_2", scheduled("wf_2"))])
    assert [command.workflow_id for command in starter.started] == ["wf_2"]


def test_a_completion_hits_only_its_owners_claim(store: WorkflowStore) -> None:
    mine = put(store, "wf_1", "claimed", OWNER, lease_until=0.0)
    theirs = put(store, "wf_2", "claimed", "there-2", lease_until=9e9)
    inbox = companion()
    with pytest.raises(FenceMissed) as missed:
        save(store, inbox, decided("wf_1", completes=mine), decided("wf_2", completes=theirs))
    assert missed.value.message_ids == (theirs,)
    assert rows(store) == {"wf_1": ("claimed", OWNER), "wf_2": ("claimed", "there-2")}
    # However late its lease: nobody has lapsed it, so it is still this owner's.
    save(store, inbox, decided("wf_1", completes=mine))
    assert rows(store)["wf_1"] == ("done", OWNER)
    with pytest.raises(FenceMissed):
        save(store, inbox, decided("wf_1", completes=mine))


@pytest.mark.parametrize("state", ["open", "done", "lapsed", "revoked"])
def test_only_a_claim_lapses(store: WorkflowStore, state: str) -> None:
    claimed, other = put(store, "wf_1", "claimed", "there-2"), put(store, "wf_2", state)
    with pytest.raises(FenceMissed) as missed:
        save(store, companion(), decided("wf_1", lapses=claimed), decided("wf_2", lapses=other))
    assert missed.value.message_ids == (other,)
    save(store, companion(), decided("wf_1", lapses=claimed))
    assert rows(store)["wf_1"] == ("lapsed", "there-2")


@pytest.mark.parametrize("state", ["claimed", "done", "lapsed", "revoked"])
def test_only_what_is_open_is_revoked(store: WorkflowStore, state: str) -> None:
    opened, other = put(store, "wf_1"), put(store, "wf_2", state, OWNER)
    pause = WorkflowPaused(by="bob", reason="wait", revoked=(opened, other))
    with pytest.raises(FenceMissed) as missed:
        save(store, companion(), decided("wf_1", pause))
    assert missed.value.message_ids == (other,)
    save(store, companion(), decided("wf_1", WorkflowPaused(by="bob", reason="wait", revoked=(opened,))))
    assert rows(store)["wf_1"] == ("revoked", None)


def test_what_a_turn_schedules_a_later_decision_of_it_may_revoke(store: WorkflowStore) -> None:
    pause = WorkflowPaused(by="bob", reason="wait", revoked=("wf_1/a/run/1",))
    save(store, companion(), decided("wf_1", scheduled("wf_1")), decided("wf_1", pause))
    assert rows(store) == {"wf_1": ("revoked", None)}


@pytest.mark.parametrize("kind", [kind for kind in STORED.values() if "revoked" in kind.model_fields])
def test_every_event_that_revokes_does(kind: type[Event], store: WorkflowStore) -> None:
    opened = put(store, "wf_1")
    event = kind.model_construct(revoked=(opened,), why="failed")
    paused = decided("wf_1", WorkflowPaused(by="bob", reason="wait"))
    changed = dataclasses.replace(paused.events[0], event=event)
    save(store, companion(), dataclasses.replace(paused, events=(changed,)))
    assert rows(store)["wf_1"] == ("revoked", None)


# --- what a consumer is to be told ----------------------------------------------------------------------------------


def digest(store: WorkflowStore) -> str | None:
    ((found,),) = store.query("SELECT digest FROM inbox")
    return None if found is None else str(found)


def test_a_row_that_is_open_has_the_digest_of_its_command_however_it_was_carried(store: WorkflowStore) -> None:
    event = scheduled("wf_1")
    state = State("wf_1", definition="d", definition_version="1", requested_by="alice")
    save(store, companion(), decided("wf_1", event))
    command = command_of(event, "wf_1", state)
    assert digest(store) == command_digest(command)
    carried = StepCommand.model_validate_json(StepCommand.of(command).model_dump_json()).command()
    assert digest(store) == command_digest(carried)


@pytest.mark.parametrize(
    "change",
    [
        {"input": {"x": 2}},
        {"input": {"x": 1.0}},
        {"input": {"x": True}},
        {"activity": "other"},
        {"definition": "e"},
        {"definition_version": "2"},
        {"idempotency_key": "another"},
        {"requested_by": "mallory"},
        {"generation": 2},
        {"workflow_id": "wf_2"},
        {"message_id": "wf_1/a/run/2"},
        {"expires_at": BEGINNING + timedelta(hours=2)},
    ],
)
def test_whatever_is_told_otherwise_has_another_digest(change: dict[str, Any]) -> None:
    state = State("wf_1", definition="d", definition_version="1", requested_by="alice")
    command = command_of(scheduled("wf_1"), "wf_1", state)
    assert command_digest(dataclasses.replace(command, **change)) != command_digest(command)


def test_a_row_that_is_claimed_as_it_is_scheduled_needs_none(store: WorkflowStore) -> None:
    save(store, companion(Free()), decided("wf_1", scheduled("wf_1")))
    assert digest(store) is None


# --- stopping -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("why", "told"), [("failed", "asked"), ("cancelled", "forced"), ("deadline", "forced")])
def test_whoever_runs_attempts_of_a_stopping_workflow_is_told(why: str, told: str, store: WorkflowStore) -> None:
    mine = put(store, "wf_1", "claimed", "there-2")
    other = put(store, "wf_2", "claimed", "there-2")
    stopping = decided("wf_1", StoppingBegan(why=why, reason="no more"))  # type: ignore[arg-type]
    undo = "wf_1/a/compensate/2"
    stopping.state.live = {mine: "a", undo: UNDO}
    with store.transaction() as cursor:
        cursor.execute(
            "INSERT INTO inbox (message_id, kind, workflow_id, state) VALUES (?, 'compensate', 'wf_1', 'claimed')",
            (undo,),
        )
    save(store, companion(), stopping)
    found = {row[0]: row[1] for row in store.query("SELECT message_id, cancel FROM inbox")}
    assert found == {mine: told, undo: None, other: None}


# --- handed over ----------------------------------------------------------------------------------------------------


def test_an_outcome_completes_what_was_handed_over_whoever_records_it(store: WorkflowStore) -> None:
    name = put(store, "wf_1", "handed_over")
    save(store, companion(), decided("wf_1", completes=name))
    assert rows(store) == {"wf_1": ("done", None)}


def test_an_outcome_does_not_complete_what_is_open_or_claimed_by_another(store: WorkflowStore) -> None:
    for workflow, state, owner in (("wf_1", "open", None), ("wf_2", "claimed", "there-2"), ("wf_3", "lapsed", OWNER)):
        name = put(store, workflow, state, owner)
        with pytest.raises(FenceMissed):
            save(store, companion(), decided(workflow, completes=name))


def test_what_was_handed_over_is_not_revoked(store: WorkflowStore) -> None:
    name = put(store, "wf_1", "handed_over")
    with pytest.raises(FenceMissed):
        save(store, companion(), decided("wf_1", WorkflowPaused(by="bob", reason="wait", revoked=(name,))))


@pytest.mark.parametrize("unless_renewed", [True, False])
def test_what_was_handed_over_lapses(unless_renewed: bool, store: WorkflowStore) -> None:
    name = put(store, "wf_1", "handed_over")
    lapsed = decided("wf_1", lapses=name)
    lapsed.request.unless_renewed = unless_renewed
    save(store, companion(), lapsed)
    assert rows(store)["wf_1"][0] == "lapsed"


def test_a_lease_that_was_renewed_meanwhile_does_not_lapse(store: WorkflowStore, clock: DatabaseClock) -> None:
    name = put(store, "wf_1", "claimed", "there-2", lease_until=clock.at + 1)
    lapsed = decided("wf_1", lapses=name)
    lapsed.request.unless_renewed = True
    with pytest.raises(FenceMissed):
        save(store, companion(), lapsed)
    clock.at += 1
    save(store, companion(), lapsed)
    assert rows(store) == {"wf_1": ("lapsed", "there-2")}


def test_a_turn_without_anything_to_write_writes_nothing() -> None:
    assert companion().along([decided("wf_1")]) == ()


def test_a_large_turn_is_written_whole(store: WorkflowStore) -> None:
    names = [put(store, f"wf_{number}", "claimed", OWNER) for number in range(600)]
    save(store, companion(), *(decided(name.split("/", 1)[0], completes=name) for name in names))
    assert {state for state, _ in rows(store).values()} == {"done"}


# --- other messages -------------------------------------------------------------------------------------------------


def test_a_receipt_makes_a_repeat_a_repeat(store: WorkflowStore) -> None:
    receipt = Receipt("goal-1", "goal", "digest")
    save(store, companion(), decided("wf_1", receipt=receipt))
    with pytest.raises(FenceMissed) as missed:
        save(store, companion(), decided("wf_1", receipt=receipt))
    assert missed.value.message_ids == ("goal-1",)


def test_a_message_received_with_another_body_is_a_conflict(store: WorkflowStore) -> None:
    with store.transaction() as cursor:
        assert receive(cursor, "signal-1", "signal", "one")
        assert not receive(cursor, "signal-1", "signal", "one")
        with pytest.raises(WorkflowConflict, match="signal-1 was received before with another body"):
            receive(cursor, "signal-1", "signal", "two")


# --- statements -----------------------------------------------------------------------------------------------------


@given(st.sets(st.text(min_size=1, max_size=5), max_size=700))
def test_chunks_hold_all_ids_in_few_sizes(names: set[str]) -> None:
    chunks = [(chunk, places) for chunk, places in in_chunks(names)]
    assert {name for chunk, _ in chunks for name in chunk} == names
    assert {len(chunk) for chunk, _ in chunks} <= {1, 4, 16, 64, 256}
    assert all(places.count("?") == len(chunk) for chunk, places in chunks)
