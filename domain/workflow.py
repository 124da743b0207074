"""The Workflow aggregate: hands a trigger to the node that the lifecycle table names, and applies what it decides.

Owned by one place at a time (the store's cache). After an error, or a failed save, it is thrown away and folded anew:
that is cheaper and simpler than being able to take events back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain import events as e
from domain import progress
from domain.chain import GENESIS
from domain.decision import Decision, Events
from domain.definitions import Definition
from domain.errors import DecisionFault, WorkflowUnknown, not_loaded
from domain.events import Event
from domain.evolve import evolve
from domain.facts import Authored, Facts
from domain.lifecycle import TABLE, Ignore, Unknown
from domain.nodes import intervention, observer, planner
from domain.recorded import RecordedEvent, Stamp, record, stamp
from domain.state import State
from domain.triggers import ForkWorkflow, Given, RecordOutcome, StartWorkflow, Trigger, Wake

MOST_EVENTS_A_DECISION: Final = 50_000
"""A decision that records more is a loop in a node: it is refused instead of filling the store."""

_AUTHORED: Final = Authored()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a trigger: the events recorded, and why the trigger itself was ignored, where it was."""

    events: tuple[RecordedEvent, ...]
    ignored: str | None = None


class Workflow:
    """One workflow: its state, and the events decided and not yet saved."""

    def __init__(self, workflow_id: str, state: State | None = None, key: bytes = b"") -> None:
        """Begin from nothing, or from a state folded before; `key` salts the digests of redactable values."""
        self.state = state if state is not None else State(workflow_id, head=GENESIS)
        self.key = key
        self._fits: Definition | None = None
        self._pending: list[RecordedEvent] = []

    @property
    def id(self) -> str:
        """The workflow's id."""
        return self.state.workflow_id

    @property
    def version(self) -> int:
        """Number of the last event, decided or stored."""
        return self.state.version

    def apply(self, recorded: RecordedEvent) -> None:
        """Fold one stored event; never refuses."""
        evolve(self.state, recorded)

    def collect_events(self) -> Sequence[RecordedEvent]:
        """The events decided since the last call: what `eventsourcing` saves."""
        pending, self._pending = self._pending, []
        return pending

    def handle(self, given: Given, definition: Definition | None, facts: Facts = _AUTHORED) -> Outcome:
        """Decide on a trigger. Raises Refused where it asks for what is not there; then this object is spent."""
        state = self.state
        trigger = given.trigger
        definition = self._fitting(definition)
        before = len(self._pending)
        first_version = state.version + 1
        stamped = stamp(state.workflow_id, given.at, given.cause, given.actor, first_version)
        decision = Decision(state, given, definition, facts, state.version)
        ignored = self._why_ignored(decision)
        if ignored is None:
            self._check_definition(trigger, definition)
        first = trigger.before_what_is_due and ignored is None
        if first:
            self._record(self._node(decision), given, stamped)
        if definition is not None and (state.dues or progress.MISSING in state.waits):
            self._record(progress.catch_up(decision), given, stamped)
            ignored = ignored if first else self._why_ignored(decision)
        if ignored is None and not first:
            self._record(self._node(decision), given, stamped)
        if state.version >= first_version or isinstance(trigger, Wake):
            while state.ended is None:
                version = state.version
                self._record(progress.go_on(decision), given, stamped)
                if state.version == version:
                    break
        return Outcome(tuple(self._pending[before:]), ignored)

    def _fitting(self, definition: Definition | None) -> Definition | None:
        """The definition, unless it lacks an activity that the plan names: then it is not the one that was started on.

        Looked at once for each definition object: later plans are checked against it when they are proposed.
        """
        if definition is None or definition is self._fits:
            return definition
        for step in self.state.steps.values():
            named = step.planned.activity if step.planned is not None else None
            if named is not None and named not in definition.activities:
                return None
        self._fits = definition
        return definition

    def _node(self, decision: Decision) -> Events:
        """What the node decides that the table names."""
        trigger, status = decision.trigger, decision.state.status
        cell = TABLE[type(trigger), status]
        if isinstance(cell, Ignore | Unknown):
            raise DecisionFault(f"{type(trigger).__name__} has no node in status {status.value}")
        return cell(decision)

    def _why_ignored(self, decision: Decision) -> str | None:
        cell = TABLE[type(decision.trigger), decision.state.status]
        if isinstance(cell, Unknown):
            raise WorkflowUnknown(f"there is no workflow {self.id!r}: `handrail list` shows those there are")
        if isinstance(decision.trigger, StartWorkflow) and decision.state.version:
            planner.check_same(decision.trigger, decision.state)
        return cell.reason if isinstance(cell, Ignore) else _beside_the_point(decision)

    def _check_definition(self, trigger: Trigger, definition: Definition | None) -> None:
        """What a person decides needs the definition's policies; what merely happened is recorded without."""
        if definition is not None or not (trigger.by_person or isinstance(trigger, StartWorkflow | ForkWorkflow)):
            return
        state = self.state
        name = trigger.definition if isinstance(trigger, StartWorkflow) else state.definition
        version = trigger.definition_version if isinstance(trigger, StartWorkflow) else state.definition_version
        if isinstance(trigger, ForkWorkflow) or state.ended is not None:
            return
        raise not_loaded(name, version)

    def _record(self, events: Events, given: Given, stamped: Stamp) -> None:
        """Apply events as they are decided, each with its header."""
        state = self.state
        first_version = stamped.decision
        for event in events:
            version = state.version + 1
            if version - first_version > MOST_EVENTS_A_DECISION:
                raise DecisionFault(f"workflow {self.id}: one decision recorded {MOST_EVENTS_A_DECISION} events")
            fact = event
            if version == first_version and not _rebuilds(given.trigger, event):
                fact = event.model_copy(update={"trigger": given.trigger.model_dump(mode="json", exclude_none=True)})
            recorded = record(fact, stamped, version, state.head, self.key)
            evolve(state, recorded)
            self._pending.append(recorded)


def _beside_the_point(decision: Decision) -> str | None:
    """Why a trigger that fits the status has nothing to say all the same, or None where it has."""
    return intervention.restored(decision) or intervention.forked(decision) or observer.stale(decision)


def _rebuilds(trigger: Trigger, event: Event) -> bool:
    """Whether the event's own fields say all that the trigger said, so that it need not be stored twice."""
    if isinstance(trigger, RecordOutcome):
        return trigger.kind == "run" and isinstance(event, e.StepSucceeded)
    return isinstance(event, e.WorkflowStarted | e.WorkflowForked)
