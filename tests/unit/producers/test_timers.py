"""Timers: one row a workflow, true to its state; what is due is woken, and what cannot be moved does not loop."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.errors import EventCorrupt, StoreUnavailable
from domain.events import WaitSatisfied, WaitStarted
from domain.ports import Decided, Request
from domain.state import State, Wait
from domain.store.application import WorkflowStore
from producers import timers
from producers.timers import TIMERS_SCHEMA, WAKES_A_TURN, Scope, Timer, TimersCompanion
from tests.unit.producers.stage import BEGINNING, Decisions, decided, open_store, save

SOON = BEGINNING + timedelta(seconds=5)
LATER = BEGINNING + timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkflowStore]:
    opened = open_store(tmp_path, TIMERS_SCHEMA)
    yield opened
    opened.close()


def due_at(workflow_id: str, at: datetime | None, *, paused: bool = False) -> State:
    dues = {} if at is None else {"retry:a": at}
    return State(workflow_id, version=1, definition="d", definition_version="1", dues=dues, paused=paused)


def rows(store: WorkflowStore) -> dict[str, tuple[float | None, str | None]]:
    found = store.query("SELECT workflow_id, due_at, definition FROM timers")
    return {row[0]: (row[1], row[2]) for row in found}


class World:
    """A timer, its companion, and a clock set by hand."""

    def __init__(self, store: WorkflowStore, *, told: bool = False) -> None:
        self.store = store
        self.at = BEGINNING
        self.scope: Scope = None
        self.companion = TimersCompanion()
        self.decisions = Decisions(self.settled)
        self.timer = Timer(
            store=store, decider=self.decisions, clock=lambda: self.at, scope=lambda: self.scope, told=told
        )
        self.companion.armed = self.timer.armed

    def arm(self, *states: State, before: datetime | None = None) -> None:
        save(self.store, self.companion, *(decided(state, armed_before=before) for state in states))

    def settled(self, request: Request) -> Decided:
        """The engine: whatever was due is decided, and nothing more falls due."""
        state = due_at(request.workflow_id, None)
        save(self.store, self.companion, decided(state, armed_before=SOON))
        return Decided(request, state)


# --- the rows -------------------------------------------------------------------------------------------------------


def test_the_row_follows_the_state(store: WorkflowStore) -> None:
    world_rows = TimersCompanion()
    save(store, world_rows, decided(due_at("wf_1", SOON)))
    assert rows(store) == {"wf_1": (SOON.timestamp(), None)}
    save(store, world_rows, decided(due_at("wf_1", LATER), armed_before=SOON))
    assert rows(store) == {"wf_1": (LATER.timestamp(), None)}
    save(store, world_rows, decided(due_at("wf_1", LATER, paused=True), armed_before=LATER))
    assert rows(store) == {}


def test_where_no_instant_changes_nothing_is_written() -> None:
    companion = TimersCompanion()
    assert companion.along([decided(due_at("wf_1", SOON), armed_before=SOON), decided(due_at("wf_2", None))]) == ()


def test_of_several_decisions_of_a_turn_the_first_before_and_the_last_after_count(store: WorkflowStore) -> None:
    state = due_at("wf_1", SOON)
    companion = TimersCompanion()
    turn = [decided(state, armed_before=SOON), decided(state, armed_before=LATER)]
    assert companion.along(turn) == ()
    save(store, companion, decided(state, armed_before=LATER), decided(state, armed_before=SOON))
    assert rows(store) == {"wf_1": (SOON.timestamp(), None)}


def test_a_workflow_without_its_definition_has_a_row_without_an_instant(store: WorkflowStore) -> None:
    state = due_at("wf_1", SOON)
    state.waits[":definition"] = Wait("", "definition", BEGINNING)
    companion = TimersCompanion()
    save(store, companion, decided(state, WaitStarted(step="", reason="definition"), armed_before=SOON))
    assert rows(store) == {"wf_1": (None, "d 1")}
    del state.waits[":definition"]
    save(store, companion, decided(state, WaitSatisfied(step="", reason="definition"), armed_before=SOON))
    assert rows(store) == {"wf_1": (SOON.timestamp(), None)}


# --- waking ---------------------------------------------------------------------------------------------------------


async def test_what_is_due_is_woken_once(store: WorkflowStore) -> None:
    world = World(store)
    world.arm(due_at("wf_1", SOON), due_at("wf_2", LATER))
    assert await world.timer.fire() == 0
    world.at = SOON
    assert await world.timer.fire() == 1
    assert world.decisions.asked == [("wf_1", "Wake")]
    assert world.decisions.requests[0].at == SOON
    assert await world.timer.fire() == 0


async def test_many_due_at_once_are_woken_turn_by_turn(store: WorkflowStore) -> None:
    world = World(store)
    world.arm(*(due_at(f"wf_{number}", SOON) for number in range(WAKES_A_TURN + 10)))
    world.at = SOON
    assert await world.timer.fire() == WAKES_A_TURN + 10


async def test_what_cannot_be_moved_is_left_alone_for_a_while(store: WorkflowStore) -> None:
    world = World(store)
    world.arm(due_at("wf_1", SOON), due_at("wf_2", SOON), due_at("wf_3", SOON))
    world.at = SOON
    world.decisions.answer = lambda request: (
        Decided(request, due_at("wf_1", SOON)) if request.workflow_id == "wf_1" else world.settled(request)
    )
    world.decisions.errors = [None, EventCorrupt("unreadable")]
    assert await world.timer.fire() == 3
    assert await world.timer.fire() == 0
    assert set(rows(store)) == {"wf_1", "wf_2"}


async def test_trouble_with_the_store_is_raised_and_nobody_left_alone_for_it(store: WorkflowStore) -> None:
    world = World(store)
    world.arm(due_at("wf_1", SOON))
    world.at = SOON
    world.decisions.errors = [StoreUnavailable("the disk is full")]
    with pytest.raises(StoreUnavailable):
        await world.timer.fire()
    assert await world.timer.fire() == 1
    assert rows(store) == {}


async def test_outside_the_scope_nothing_is_woken(store: WorkflowStore) -> None:
    world = World(store)
    world.arm(due_at("wf_1", SOON), due_at("wf_2", SOON))
    world.at, world.scope = SOON, {"wf_2"}
    await world.timer.fire()
    assert world.decisions.asked == [("wf_2", "Wake")]
    world.scope = set()
    assert await world.timer.fire() == 0


async def test_who_waits_for_a_definition_is_woken_at_the_start(store: WorkflowStore) -> None:
    world = World(store)
    state = due_at("wf_1", None)
    state.waits[":definition"] = Wait("", "definition", BEGINNING)
    save(store, world.companion, decided(state, WaitStarted(step="", reason="definition")))
    world.at = LATER
    assert await world.timer.fire() == 0
    assert await world.timer.wake_definitions() == ["wf_1"]
    assert world.decisions.asked == [("wf_1", "Wake")]


async def test_a_process_wakes_only_those_that_wait_for_what_it_has(store: WorkflowStore) -> None:
    world = World(store)
    for name, version in (("wf_1", "1"), ("wf_2", "2")):
        state = due_at(name, None)
        state.definition, state.definition_version = "review", version
        state.waits[":definition"] = Wait("", "definition", BEGINNING)
        save(store, world.companion, decided(state, WaitStarted(step="", reason="definition")))
    assert await world.timer.wake_definitions(["review 2", "other 1"]) == ["wf_2"]
    assert await world.timer.wake_definitions([]) == []
    assert world.decisions.asked == [("wf_2", "Wake")]


class Crowd:
    """Counts how many are asked at the same time."""

    def __init__(self) -> None:
        self.under_way = self.most = self.all = 0

    def decide(self, request: Request) -> Awaitable[Decided]:
        self.all += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        return self._answer(request)

    async def _answer(self, request: Request) -> Decided:
        self.under_way -= 1
        return Decided(request, State(request.workflow_id))


async def test_very_many_are_woken_a_turn_at_a_time(store: WorkflowStore) -> None:
    crowd = Crowd()
    timer = Timer(store=store, decider=crowd, clock=lambda: BEGINNING, scope=lambda: None)
    await timer.wake([f"wf_{number}" for number in range(2 * WAKES_A_TURN + 1)], "definition loaded")
    assert (crowd.all, crowd.most) == (2 * WAKES_A_TURN + 1, WAKES_A_TURN)


async def test_it_sleeps_until_the_next_instant_and_wakes_for_an_earlier_one(store: WorkflowStore) -> None:
    world = World(store)
    world.arm(due_at("wf_1", LATER))
    task = asyncio.create_task(world.timer.run())
    await asyncio.sleep(0)
    world.at = SOON
    world.arm(due_at("wf_2", SOON))
    async with asyncio.timeout(10):
        while not world.decisions.asked:  # noqa: ASYNC110 - the timer tells nobody
            await asyncio.sleep(0)
    assert world.decisions.asked == [("wf_2", "Wake")]
    world.at = LATER
    world.timer.look_again()
    async with asyncio.timeout(10):
        while len(world.decisions.asked) < 2:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    task.cancel()


async def test_one_that_is_told_rests_until_it_hears(store: WorkflowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody armed it: another process set what is due, and only the hearing brings it to look."""
    monkeypatch.setattr(timers, "LONGEST_SLEEP_SECONDS", 0.0)
    monkeypatch.setattr(timers, "UNTOLD_SECONDS", 1e6)
    world = World(store, told=True)
    world.companion.armed = lambda _: None
    looks = 0
    look = store.query

    def counted(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        nonlocal looks
        looks += 1
        return look(statement, parameters)

    monkeypatch.setattr(store, "query", counted)
    task = asyncio.create_task(world.timer.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert looks == 1
    world.arm(due_at("wf_1", BEGINNING))
    world.timer.heard()
    async with asyncio.timeout(10):
        while not world.decisions.asked:  # noqa: ASYNC110 - the timer tells nobody
            await asyncio.sleep(0)
    task.cancel()


def test_the_timers_questions_are_answered_by_index(store: WorkflowStore) -> None:
    for where in ("due_at <= 5.0", "due_at IS NOT NULL"):
        plan = str(
            store.query(f"EXPLAIN QUERY PLAN SELECT workflow_id FROM timers WHERE {where} ORDER BY due_at LIMIT 9")
        )
        assert "timers_due" in plan
        assert "TEMP B-TREE" not in plan
