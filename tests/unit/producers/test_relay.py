"""The relay: carries on what the log says, in its order; its position moves only when all of a batch is done."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.inbox import receive
from domain.errors import (
    DefinitionMissing,
    DefinitionUnknown,
    FenceMissed,
    HandrailError,
    StoreUnavailable,
    WorkflowUnknown,
)
from domain.events import (
    ChildStarted,
    Event,
    ForkTaken,
    StepScheduled,
    StoppingBegan,
    Undo,
    WaitTimedOut,
    WorkflowCancelled,
    WorkflowCompensated,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowForked,
    WorkflowStarted,
)
from domain.messages import command_of
from domain.ports import Command, Notification
from domain.recorded import RecordedEvent
from domain.store.application import WorkflowStore
from domain.store.positions import MovePosition, position_of
from domain.triggers import CancelWorkflow, EndChild, ForkWorkflow, StartWorkflow
from producers.facts import KnownWorkflows, WorkflowFacts, facts_of
from producers.memory import MemorySender
from producers.relay import RELAY, NotCarried, Relay
from producers.signals import SIGNALS_SCHEMA, Signals
from tests.unit.producers.stage import BEGINNING, Decisions, notification, open_store, recorded


def started(workflow_id: str = "wf_1", parent: str | None = None) -> RecordedEvent:
    event = WorkflowStarted(
        goal="g",
        definition="d",
        definition_version="2",
        input={},
        requested_by="alice",
        parent_workflow=parent,
        parent_step="inner" if parent else None,
    )
    return recorded(event, workflow_id)


def scheduled(workflow_id: str = "wf_1", *, step: str = "a") -> StepScheduled:
    return StepScheduled(
        step=step,
        kind="run",
        attempt=1,
        message_id=f"{workflow_id}/{step}/run/1",
        activity="act",
        queue="default",
        input={"x": 1},
        expires_at=BEGINNING + timedelta(hours=1),
        key=f"{workflow_id}/{step}/run",
    )


class Followed:
    """A follower that hands out what it was given."""

    def __init__(self, *batches: Sequence[Notification]) -> None:
        self.position = 0
        self._batches = list(batches)
        self.done = asyncio.Event()

    async def next_batch(self, limit: int = 500) -> list[Notification]:
        if not self._batches:
            self.done.set()
            await asyncio.Event().wait()
        batch = list(self._batches.pop(0))
        self.position = batch[-1].position
        return batch


class World:
    """A relay, and everything that lies around it."""

    def __init__(self, store: WorkflowStore, *batches: Sequence[Notification], room: int = 100) -> None:
        self.store = store
        self.decisions = Decisions()
        self.sent: list[Command] = []
        self.room = room
        self.here: set[str] = set()
        self.not_driven: set[str] = set()
        self.begun: set[str] = set()
        self.stopped: list[str] = []
        self.refusal: HandrailError | None = None
        self.kept: list[RecordedEvent] = []
        self.due: list[RecordedEvent] = []
        self.waits: list[str] = []
        self.waited_for: dict[str, HandrailError] = {}
        self.parents = {"wf_1": None, "wf_1.inner": "wf_1"}
        self.follower = Followed(*batches)
        self.known = KnownWorkflows(lambda name: started(name, self.parents.get(name)))
        self.relay = Relay(
            follower=self.follower,
            sender=MemorySender(self.put),
            decider=self.decisions,
            signals=Signals(store, self.decisions, lambda: BEGINNING, receive),
            known=self.known,
            outside=self,
            clock=lambda: BEGINNING,
            waiting=self.waiting,
        )

    def waiting(self, doing: str, trouble: HandrailError | None, /) -> None:
        if trouble is not None:
            self.waits.append(doing)
            self.waited_for[doing] = trouble
        else:
            self.waited_for.pop(doing, None)

    def put(self, commands: Sequence[Command]) -> int:
        taken = list(commands)[: self.room]
        self.sent += taken
        return len(taken)

    def drives(self, one: Notification) -> bool:
        return one.event.originator_id not in self.not_driven

    async def learn(self, workflow_ids: Collection[str]) -> dict[str, str]:
        for workflow_id in workflow_ids:
            self.known.of(workflow_id)
        return {}

    async def wanted(self, message_ids: Sequence[str]) -> Collection[str]:
        return [message_id for message_id in message_ids if message_id not in self.here]

    def command(self, one: RecordedEvent, facts: WorkflowFacts) -> Command:
        assert isinstance(one.event, StepScheduled)
        return command_of(one.event, one.originator_id, facts)

    async def child(self, event: ChildStarted, parent: str, facts: WorkflowFacts) -> StartWorkflow:
        if self.refusal is not None:
            raise self.refusal
        return StartWorkflow(
            goal=event.goal,
            definition=event.definition,
            definition_version="1",
            requested_by=facts.requested_by,
            parent_workflow=parent,
            parent_step=event.step,
        )

    async def fork(self, event: ForkTaken, source: str) -> ForkWorkflow | None:
        if self.refusal is not None:
            raise self.refusal
        if event.fork in self.begun:
            return None
        return ForkWorkflow(
            source=source, source_version=event.version, source_digest=event.digest, state={}, requested_by=event.by
        )

    def stopping(self, workflow_id: str, event: StoppingBegan) -> None:
        self.stopped.append(workflow_id)

    async def move(self, before: int, after: int, parked: Sequence[NotCarried]) -> None:
        self.store.run(MovePosition(RELAY, before, after), point="position")
        self.kept += [one for one, _ in parked]

    async def parked(self, limit: int) -> list[RecordedEvent]:
        due, self.due = self.due, []
        return due

    async def settle(self, carried: Sequence[RecordedEvent], failed: Sequence[NotCarried]) -> None:
        self.kept = [one for one in self.kept if one not in carried]

    async def seconds_to_next(self) -> float | None:
        return None

    def position(self) -> int:
        with self.store.reading() as cursor:
            return position_of(cursor, RELAY)

    async def carry(self, until: Callable[[], bool] = lambda: True) -> None:
        """Run until everything at hand is carried on, and what is waited for is so."""
        task = asyncio.create_task(self.relay.run())
        async with asyncio.timeout(10):
            while not (task.done() or (self.follower.done.is_set() and until())):  # noqa: ASYNC110 - many things may be awaited
                await asyncio.sleep(0)
        if task.done():
            task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkflowStore]:
    opened = open_store(tmp_path, SIGNALS_SCHEMA)
    yield opened
    opened.close()


# --- commands -------------------------------------------------------------------------------------------------------


async def test_commands_go_out_unless_they_were_started_here_or_are_not_driven(store: WorkflowStore) -> None:
    batch = [notification(n, scheduled(f"wf_{n}"), f"wf_{n}") for n in (1, 2, 3)]
    world = World(store, batch)
    world.here = {"wf_1/a/run/1"}
    world.not_driven = {"wf_2"}
    await world.carry()
    (command,) = world.sent
    assert (command.message_id, command.definition, command.definition_version) == ("wf_3/a/run/1", "d", "2")
    assert (command.requested_by, command.idempotency_key, dict(command.input)) == ("alice", "wf_3/a/run", {"x": 1})


async def test_a_full_transport_stops_nobody(store: WorkflowStore) -> None:
    batch = [notification(n, scheduled(f"wf_{n}"), f"wf_{n}") for n in (1, 2, 3)]
    world = World(store, batch, room=1)
    await world.carry()
    assert len(world.sent) == 1
    await world.relay.write_position()
    assert world.position() == 3


# --- position -------------------------------------------------------------------------------------------------------


async def test_the_position_moves_when_all_of_a_batch_is_done(store: WorkflowStore) -> None:
    batch = [notification(7, child_started())]
    world = World(store, batch)
    world.decisions.errors = [StoreUnavailable("locked"), StoreUnavailable("locked")]
    await world.carry()
    assert world.decisions.asked == [("wf_1.inner", "StartWorkflow")] * 3
    assert world.position() == 0
    await world.relay.write_position()
    await world.relay.write_position()
    assert world.position() == 7


async def test_a_relay_that_was_overtaken_steps_down(store: WorkflowStore) -> None:
    world = World(store, [notification(5, scheduled())])
    await world.carry()
    store.run(MovePosition(RELAY, 0, 3))
    with pytest.raises(FenceMissed, match="no longer at 0"):
        await world.relay.write_position()


async def test_the_position_is_written_by_itself_after_a_while(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.relay.POSITION_EVERY_SECONDS", 0.001)
    world = World(store, [notification(5, scheduled())])
    task = asyncio.create_task(world.relay.run())
    async with asyncio.timeout(10):
        while world.position() != 5:  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0)
    task.cancel()


async def test_what_the_relay_waits_for_is_told_until_it_goes_on(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.relay.POSITION_EVERY_SECONDS", 0.001)
    monkeypatch.setattr("producers.relay._LONGEST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr("producers.relay._FIRST_PAUSE_SECONDS", 0.001)
    world = World(store, [notification(7, child_started())])
    world.decisions.errors = [StoreUnavailable("locked")]
    move, parked, troubles = world.move, world.parked, {"move": 2, "parked": 2}

    async def moved(before: int, after: int, not_carried: Sequence[NotCarried]) -> None:
        refuse("move")
        await move(before, after, not_carried)

    async def found(limit: int) -> list[RecordedEvent]:
        refuse("parked")
        return await parked(limit)

    def refuse(what: str) -> None:
        troubles[what] -= 1
        if troubles[what] >= 0:
            raise StoreUnavailable("gone")

    monkeypatch.setattr(world, "move", moved)
    monkeypatch.setattr(world, "parked", found)
    await world.carry(until=lambda: world.position() == 7 and troubles["parked"] < 0 and not world.waited_for)
    assert sorted(world.waits) == [
        "carry on what the log asks for",
        *["try again what is parked"] * 2,
        *["write its position"] * 2,
    ]


# --- children -------------------------------------------------------------------------------------------------------


def child_started() -> ChildStarted:
    return ChildStarted(step="inner", child_workflow="wf_1.inner", definition="c", goal="g", input={})


async def test_a_child_is_started_for_its_parents_requester(store: WorkflowStore) -> None:
    world = World(store, [notification(1, child_started(), version=4)])
    await world.carry()
    (request,) = world.decisions.requests
    assert isinstance(request.trigger, StartWorkflow)
    assert (request.workflow_id, request.cause, request.trigger.requested_by) == ("wf_1.inner", "wf_1/4", "alice")
    assert (request.trigger.parent_workflow, request.trigger.parent_step) == ("wf_1", "inner")


@pytest.mark.parametrize("where", ["before it is asked", "by the child itself"])
async def test_a_child_that_cannot_be_started_is_told_to_its_parent(store: WorkflowStore, where: str) -> None:
    world = World(store, [notification(1, child_started())])
    if where == "before it is asked":
        world.refusal = DefinitionUnknown("there is no definition 'c'")
    else:
        world.decisions.errors = [DefinitionUnknown("there is no definition 'c'")]
    await world.carry()
    told = world.decisions.requests[-1]
    assert isinstance(told.trigger, EndChild)
    assert (told.workflow_id, told.trigger.step, told.trigger.status) == ("wf_1", "inner", "failed")
    assert told.trigger.reason == "invalid: it could not be started: there is no definition 'c'"


async def test_what_cannot_be_told_for_want_of_a_definition_is_parked_until_it_can(store: WorkflowStore) -> None:
    start = notification(1, child_started())
    stop = notification(2, StoppingBegan(why="cancelled", reason="enough", children=("wf_1.inner",)), version=2)
    world = World(store, [start, stop])
    world.refusal = DefinitionMissing("definition 'd' is not loaded here", definition="d", version="1")
    world.decisions.errors = [DefinitionMissing("definition 'c' is not loaded here", definition="c", version="1")]
    await world.carry()
    assert (world.decisions.asked, world.kept) == ([("wf_1.inner", "CancelWorkflow")], [])
    await world.relay.write_position()
    assert (world.position(), world.kept) == (2, [start.event, stop.event])

    after = World(store)
    after.kept, after.due, after.refusal = list(world.kept), list(world.kept), world.refusal
    await after.carry(until=lambda: len(after.kept) == 1)
    assert (after.decisions.asked, after.kept) == ([("wf_1.inner", "CancelWorkflow")], [start.event])
    after.due, after.refusal = list(after.kept), None
    await after.carry(until=lambda: not after.kept)
    assert after.decisions.asked[1:] == [("wf_1.inner", "StartWorkflow")]


FORK = ForkTaken(fork="wf_fork", version=2, digest="0" * 64, by="fred", reason="look again")


async def test_a_fork_that_was_taken_is_begun_in_the_name_of_whoever_took_it(store: WorkflowStore) -> None:
    world = World(store, [notification(1, FORK, version=4)])
    world.not_driven = {"wf_1"}  # the source may be over: nobody drives it for the fork's sake
    await world.carry()
    (request,) = world.decisions.requests
    assert isinstance(request.trigger, ForkWorkflow)
    assert (request.workflow_id, request.cause, request.actor) == ("wf_fork", "wf_1/4", "fred")


async def test_a_fork_that_has_begun_is_asked_for_no_more(store: WorkflowStore) -> None:
    world = World(store, [notification(1, FORK)])
    world.begun = {"wf_fork"}
    await world.carry()
    assert world.decisions.asked == []


async def test_a_fork_without_its_definition_is_parked(store: WorkflowStore) -> None:
    taken = notification(1, FORK)
    world = World(store, [taken])
    world.refusal = DefinitionMissing("definition 'd' is not loaded here", definition="d", version="1")
    await world.carry()
    await world.relay.write_position()
    assert (world.decisions.asked, world.kept) == ([], [taken.event])


UNDO = Undo(step="a", activity="act", compensation="undo", key="wf_1.inner/a/run")


@pytest.mark.parametrize(
    ("event", "status", "output", "reason"),
    [
        (WorkflowCompleted(output={"x": 1}, effects=(UNDO,)), "completed", {"x": 1}, ""),
        (WorkflowFailed(reason="no", effects=(UNDO,)), "failed", None, "no"),
        (WorkflowCancelled(reason="stop", effects=(UNDO,)), "cancelled", None, "stop"),
        (WorkflowCompensated(reason="undone", compensated=(), effects=(UNDO,)), "compensated", None, "undone"),
    ],
    ids=["completed", "failed", "cancelled", "compensated"],
)
async def test_a_childs_end_is_told_to_its_parent_once(
    store: WorkflowStore, event: Event, status: str, output: Any, reason: str
) -> None:
    world = World(store, [notification(1, event, "wf_1"), notification(2, event, "wf_1.inner")])
    await world.carry()
    (request,) = world.decisions.requests
    assert isinstance(request.trigger, EndChild)
    assert request.trigger.model_dump(exclude={"type"}) == {
        "step": "inner",
        "child_workflow": "wf_1.inner",
        "status": status,
        "output": output,
        "reason": reason,
        "effects": (UNDO.model_dump(),),
    }
    assert request.workflow_id == "wf_1"
    assert request.receipt is not None
    assert request.receipt.message_id == "wf_1.inner/ended/inner"


async def test_a_stopping_parent_asks_its_children_in_the_order_of_the_log(store: WorkflowStore) -> None:
    stop = StoppingBegan(why="cancelled", reason="enough", compensate=False, children=("wf_1.inner",))
    late = WaitTimedOut(step="x", reason="child", due_at=BEGINNING, then="fail", child_workflow="wf_1.other")
    world = World(store, [notification(1, child_started()), notification(2, stop), notification(3, late)])
    world.decisions.errors = [None, WorkflowUnknown("never began")]
    await world.carry()
    assert world.decisions.asked == [
        ("wf_1.inner", "StartWorkflow"),
        ("wf_1.inner", "CancelWorkflow"),
        ("wf_1.other", "CancelWorkflow"),
    ]
    cancel = world.decisions.requests[1].trigger
    assert isinstance(cancel, CancelWorkflow)
    assert (cancel.compensate, cancel.by) == (False, "engine")
    assert world.stopped == ["wf_1"]


# --- facts ----------------------------------------------------------------------------------------------------------


def test_facts_are_remembered_for_as_many_as_fit() -> None:
    read: list[str] = []

    def first(name: str) -> RecordedEvent:
        read.append(name)
        return started(name)

    known = KnownWorkflows(first, most=2)
    known.note(started("wf_1", "wf_0"))
    assert known.of("wf_1").parent_workflow == "wf_0"
    for name in ("wf_2", "wf_3", "wf_3", "wf_1"):
        known.of(name)
    assert read == ["wf_2", "wf_3", "wf_1"]


def test_a_fork_has_its_sources_definition_and_no_parent() -> None:
    fork = WorkflowForked(
        source="wf_1",
        source_version=3,
        source_digest="x",
        state={
            "goal": "do it",
            "definition": "d",
            "definition_version": "7",
            "parent_workflow": "wf_0",
            "parent_step": "s",
        },
        requested_by="bob",
    )
    assert facts_of(recorded(fork)) == WorkflowFacts("d", "7", "bob", "do it")
    with pytest.raises(TypeError, match="does not begin"):
        facts_of(recorded(scheduled()))
