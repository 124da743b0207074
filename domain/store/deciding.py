"""A turn: many requests loaded, decided and saved together, in one transaction.

In memory the requests are decided in their order, those for one workflow one after the other. What the companions
bring (inbox rows, timers) is saved along. When a turn fails on its data (somebody else decided first, a claim was lost,
one request cannot be decided or stored), nothing of it is in the store and nothing in memory; its members are then
tried again one by one, each on what the store holds now, so that one bad request holds up no other. Trouble with the
store itself is raised at once: it is nobody's fault, and trying again one by one would not help.

A save that seems to have failed may have succeeded: the commit was asked for, and its answer lost on the way back. A
turn is in the store as a whole or not at all, so its first event is looked for before anything is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from eventsourcing.persistence import Recording

from domain.definitions import Definition
from domain.errors import (
    DecisionFault,
    FenceMissed,
    HandrailError,
    Refused,
    StoreError,
    StoreUnavailable,
    VersionConflict,
    WorkflowUnknown,
)
from domain.ids import message_id
from domain.ports import Along, Companion, Decided, Definitions, OpenCommands, Request
from domain.recorded import RecordedEvent
from domain.state import State
from domain.store.aside import Sayings
from domain.store.epochs import FIRST, Epoch
from domain.store.mapper import EventMapper
from domain.store.recorder import StoreRecorder, VersionsHeld
from domain.store.shelf import Held, NewKeys, Shelf
from domain.store.snapshots import PutSnapshots, is_due, take
from domain.store.tombstones import lacking, tombstones_of
from domain.triggers import ForkWorkflow, Given, LapseAttempt, RecordOutcome, StartWorkflow, Trigger

TRIES: Final = 5
"""How often one request is decided anew because others were first, before its sender is told."""

LAPSED_OTHERWISE: Final = "the claim ended otherwise meanwhile"
RECEIVED_BEFORE: Final = "the message was received before"


class TurnStore(Protocol):
    """What deciding needs of the store."""

    recorder: StoreRecorder
    mapper: EventMapper
    sayings: Sayings
    epoch: Epoch

    def save(self, *objs: Any, **kwargs: Any) -> list[Recording[str]]:
        """Save pending events and run `along` in one transaction."""
        ...

    def look_again(self) -> None:
        """Have the followers read the log: something may be in it that they were not told of."""
        ...


@dataclass(slots=True)
class Turn:
    """A turn decided in memory. To the library it is one aggregate, which is asked once for all pending events."""

    held: dict[str, Held]
    decided: list[Decided] = field(default_factory=list)
    events: list[RecordedEvent] = field(default_factory=list)
    id: str = "turn"
    version: int = 0

    def collect_events(self) -> Sequence[RecordedEvent]:
        """All events of the turn, in the order in which they were decided."""
        return self.events

    @property
    def standing(self) -> list[Decided]:
        """What was decided, without what was refused."""
        return [one for one in self.decided if one.error is None]


class TurnDecider:
    """Decides turns. `companions` and `open_commands` may be set until the first one."""

    def __init__(
        self,
        store: TurnStore,
        shelf: Shelf,
        definitions: Definitions,
        companions: Sequence[Companion] = (),
        open_commands: OpenCommands | None = None,
    ) -> None:
        """Made by the store."""
        self.companions = list(companions)
        self.open_commands = open_commands
        self._store = store
        self._shelf = shelf
        self.definitions = definitions

    def decide_turn(self, requests: Sequence[Request]) -> list[Decided]:
        """What became of each request, in their order. Raises StoreUnavailable; then nothing is in the store."""
        try:
            turn = self._decide(requests)
            self._save(turn)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001 - whatever it was: alone, it is one request's error
            return [self._alone(request) for request in requests]
        self._tell(turn)
        return turn.decided

    # --- one by one -------------------------------------------------------------------------------------------------

    def _alone(self, request: Request) -> Decided:
        """Decide one request in a turn of its own, anew for as long as others are first."""
        given_up: HandrailError | None = None
        for _ in range(TRIES):
            try:
                turn = self._decide([request])
                self._save(turn)
            except FenceMissed as missed:
                given_up = missed
                fenced_off = _fenced_off(request, missed)
                if isinstance(fenced_off, str):
                    return Decided(request, self._state(request), ignored=fenced_off)
                request = fenced_off
            except VersionConflict as conflict:
                given_up = conflict
                if self._is_archived(request):
                    return _failed(request, lacking(self._store.recorder.query, request.workflow_id))
            except HandrailError as error:
                return _failed(request, error)
            except Exception as error:  # noqa: BLE001 - not foreseen, so a fault of ours; the others must go on
                return _failed(request, _fault(request, error))
            else:
                self._tell(turn)
                # Companions keep what they have to say of a turn until the next: not before it was said.
                self._store.sayings.said()
                return turn.decided[0]
        return _failed(request, given_up or StoreError(f"workflow {request.workflow_id} cannot be decided"))

    def _is_archived(self, request: Request) -> bool:
        """Whether nothing more will ever be added to this workflow."""
        return bool(tombstones_of(self._store.recorder.query, [request.workflow_id]))

    def _why(self, request: Request, refusal: Refused) -> Refused:
        """The refusal; of a workflow that is not there, it says where that went."""
        if type(refusal) is not WorkflowUnknown:
            return refusal
        return lacking(self._store.recorder.query, request.workflow_id)

    def _state(self, request: Request) -> State:
        try:
            workflow = self._shelf.fold(request.workflow_id)
        except StoreError:
            workflow = None
        return State(request.workflow_id) if workflow is None else workflow.state

    # --- in memory --------------------------------------------------------------------------------------------------

    def _decide(self, requests: Sequence[Request]) -> Turn:
        taken = self._shelf.take([request.workflow_id for request in requests])
        open_commands = self._open_among(requests, taken)
        turn = Turn({})
        decided_before: set[str] = set()
        for request in requests:
            held = taken.get(request.workflow_id)
            if held is None:  # an earlier request was refused, which spends the object; nothing of it is to be saved
                held = self._shelf.take([request.workflow_id])[request.workflow_id]
            if isinstance(held, StoreError):
                turn.decided.append(_failed(request, held))
                continue
            workflow = held.workflow
            armed_before = workflow.state.next_due
            trigger = begun_in(self._store.epoch, request)
            given = Given(trigger, request.at, request.cause, request.actor, open_commands)
            try:
                outcome = workflow.handle(given, self._definition(workflow.state, trigger))
            except Refused as refusal:
                if request.workflow_id in decided_before:
                    raise  # earlier decisions of this turn went with the object: one by one, then
                taken.pop(request.workflow_id, None)
                turn.decided.append(_failed(request, self._why(request, refusal)))
                continue
            workflow.collect_events()
            taken[request.workflow_id] = turn.held[request.workflow_id] = held
            decided_before.add(request.workflow_id)
            turn.events.extend(outcome.events)
            turn.decided.append(
                Decided(request, workflow.state, outcome.events, outcome.ignored, armed_before=armed_before)
            )
        return turn

    def _open_among(self, requests: Sequence[Request], taken: Mapping[str, Held | StoreError]) -> frozenset[str]:
        """Which live commands nobody has claimed, of the workflows that have any besides those being answered."""
        if self.open_commands is None:
            return frozenset()
        asked: set[str] = set()
        for held in taken.values():
            if not isinstance(held, StoreError):
                asked.update(held.workflow.state.live)
        for request in requests:
            asked.discard(request.completes or request.lapses or _answers(request))
        if not asked:
            return frozenset()
        with self._store.recorder.reading() as cursor:
            return self.open_commands.open_among(cursor, sorted(asked))

    def _definition(self, state: State, trigger: Trigger) -> Definition | None:
        if state.version > 0:
            return self.definitions.find(state.definition, state.definition_version)
        if isinstance(trigger, StartWorkflow):
            return self.definitions.find(trigger.definition, trigger.definition_version)
        if isinstance(trigger, ForkWorkflow):
            return self.definitions.find(
                str(trigger.state.get("definition", "")), str(trigger.state.get("definition_version", ""))
            )
        return None

    # --- in the store -----------------------------------------------------------------------------------------------

    def _save(self, turn: Turn) -> None:
        """Save the turn and put its workflows back on the shelf. Raises what the save raised, if it failed."""
        snapshots = [
            held for held in turn.held.values() if turn.events and is_due(held.workflow.state, held.snapshot_version)
        ]
        along = self._along(turn, snapshots)
        if turn.events or along:
            commits_before = self._store.recorder.commits_begun
            try:
                self._store.save(turn, along=along)
            except BaseException as error:
                self._store.look_again()
                asked_to_commit = self._store.recorder.commits_begun != commits_before
                if not (isinstance(error, Exception) and asked_to_commit and self._is_saved(turn)):
                    raise
                return  # saved after all; the objects are not trusted any more all the same
        for held in snapshots:
            held.snapshot_version = held.workflow.version
        self._shelf.keep(turn.held.values())

    def _along(self, turn: Turn, snapshots: Sequence[Held]) -> list[Along]:
        standing = turn.standing
        if not standing:
            return []
        along: list[Along] = []
        begun = [event.originator_id for event in turn.events if event.originator_version == 1]
        if begun:
            workflows = [turn.held[workflow_id].workflow for workflow_id in begun]
            along.append(NewKeys(workflows, self._store.mapper.covers))
        for companion in self.companions:
            along.extend(companion.along(standing))
        if snapshots:
            along.append(PutSnapshots([take(held.workflow.state, self._store.mapper.covers) for held in snapshots]))
        # What writes an event is held by that event's version; what only acknowledges, by this check. Last: it reads.
        written = {event.originator_id for event in turn.events}
        acknowledged = {
            one.request.workflow_id: one.state.version
            for one in standing
            if (one.request.completes or one.request.lapses or one.request.receipt)
            and one.request.workflow_id not in written
        }
        if acknowledged:
            along.append(VersionsHeld(acknowledged))
        return along

    def _is_saved(self, turn: Turn) -> bool:
        """Whether the turn is in the store although its save failed: whether its first event is, digest and all."""
        if not turn.events:
            return False
        first = turn.events[0]
        before = {first.originator_id: first.originator_version - 1}
        try:
            rows = self._store.recorder.select_since(before).get(first.originator_id, [])
            return bool(rows) and self._store.mapper.read(*rows[0]).digest == first.digest
        except StoreError:
            return False

    def _tell(self, turn: Turn) -> None:
        standing = turn.standing
        if standing:
            self._store.sayings.say(lambda: self._committed(standing))

    def _committed(self, standing: Sequence[Decided]) -> None:
        for companion in self.companions:
            companion.committed(standing)


def begun_in(epoch: Epoch, request: Request) -> Trigger:
    """The trigger; one that begins a workflow says in which epoch, and whether it may have begun in a lost one."""
    trigger = request.trigger
    if epoch.number == FIRST or not isinstance(trigger, StartWorkflow | ForkWorkflow):
        return trigger
    if isinstance(trigger, ForkWorkflow):
        return trigger.model_copy(update={"epoch": epoch.number})
    # Derived from a message or given by somebody, the id may have been a lost workflow's; a child's is its parent's.
    repeatable = trigger.parent_workflow is None and not epoch.has_numbered(request.workflow_id)
    doubted = trigger.doubted or (repeatable and epoch.doubts(request.sent_at or request.at)) or None
    return trigger.model_copy(update={"epoch": epoch.number, "doubted": doubted})


def _answers(request: Request) -> str:
    """Message id of the command whose end the trigger reports, or nothing.

    One that the broker gave up has not ended: whether it is open decides what becomes of it.
    """
    trigger = request.trigger
    if isinstance(trigger, RecordOutcome | LapseAttempt):
        return message_id(request.workflow_id, trigger.step, trigger.kind, trigger.attempt)
    return ""


def _fenced_off(request: Request, missed: FenceMissed) -> Request | str:
    """What a missed fence makes of its request: another request, or the reason why there is nothing left to decide.

    An outcome whose claim is gone is still recorded, as a late one; where the fence was another (a command to be
    revoked was claimed meanwhile), the same request is decided on what is open now.
    """
    if request.receipt is not None and request.receipt.message_id in missed.message_ids:
        return RECEIVED_BEFORE
    if request.completes in missed.message_ids:
        return replace(request, completes=None)
    if request.lapses in missed.message_ids:
        return LAPSED_OTHERWISE
    return request


def _failed(request: Request, error: HandrailError) -> Decided:
    return Decided(request, State(request.workflow_id), error=error)


def _fault(request: Request, error: Exception) -> DecisionFault:
    name = type(request.trigger).__name__
    fault = DecisionFault(
        f"workflow {request.workflow_id} cannot decide on {name}: {type(error).__name__}: {error}; nothing was recorded"
    )
    fault.__cause__ = error
    return fault
