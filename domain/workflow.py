"""The Workflow aggregate: hands a trigger to the node that the lifecycle table names, and applies what it decides.

Owned by one place at a time (the store's cache). After an error, or a failed save, it is thrown away and folded anew:
that is cheaper and simpler than being able to take events back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain import events as e
from domain.chain import GENESIS
from domain.decision import Decision, Events, begin_stopping, consequence, schedule_attempt
from domain.definitions import Definition
from domain.errors import DecisionFault, DefinitionMissing, WorkflowUnknown
from domain.events import Event
from domain.evolve import evolve
from domain.facts import Authored, Facts
from domain.failures import FailureClass, make_failure
from domain.ids import ARTIFACT_STEP, PLAN_STEP
from domain.lifecycle import TABLE, Ignore, Unknown
from domain.nodes import approval_wait, compensator, executor, finalizer, observer, planner
from domain.recorded import RecordedEvent, Stamp, record, stamp
from domain.state import UNDO, State, StepStatus, wait_key
from domain.triggers import ForkWorkflow, Given, RecordOutcome, StartWorkflow, Trigger, Wake

MOST_EVENTS_A_DECISION: Final = 50_000
"""A decision that records more is a loop in a node: it is refused instead of filling the store."""

_AUTHORED: Final = Authored()
_BEGINNINGS: Final = (StartWorkflow, ForkWorkflow)
_DEFINITION_MISSING: Final = wait_key("", "definition")


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
        before = len(self._pending)
        first_version = state.version + 1
        stamped = stamp(state.workflow_id, given.at, given.cause, given.actor, first_version)
        decision = Decision(state, given, definition, facts)
        ignored = self._why_ignored(decision)
        if ignored is None:
            self._check_definition(trigger, definition)
        if state.dues and definition is not None and not state.paused:
            self._record(_fall_due(decision), given, stamped)
            ignored = self._why_ignored(decision)
        if ignored is None:
            cell = TABLE[type(trigger), state.status]
            if isinstance(cell, Ignore | Unknown):
                raise DecisionFault(f"{type(trigger).__name__} has no node in status {state.status.value}")
            self._record(cell(decision), given, stamped)
        if state.version >= first_version or isinstance(trigger, Wake):
            while state.ended is None:
                version = state.version
                self._record(_go_on(decision), given, stamped)
                if state.version == version:
                    break
        return Outcome(tuple(self._pending[before:]), ignored)

    def _why_ignored(self, decision: Decision) -> str | None:
        cell = TABLE[type(decision.trigger), decision.state.status]
        if isinstance(cell, Unknown):
            raise WorkflowUnknown(f"there is no workflow {self.id!r}: `handrail list` shows those there are")
        return cell.reason if isinstance(cell, Ignore) else observer.stale(decision)

    def _check_definition(self, trigger: Trigger, definition: Definition | None) -> None:
        """What a person decides needs the definition's policies; what merely happened is recorded without."""
        if definition is not None or not (trigger.by_person or isinstance(trigger, StartWorkflow | ForkWorkflow)):
            return
        state = self.state
        name = trigger.definition if isinstance(trigger, StartWorkflow) else state.definition
        version = trigger.definition_version if isinstance(trigger, StartWorkflow) else state.definition_version
        if isinstance(trigger, ForkWorkflow) or state.ended is not None:
            return
        raise DefinitionMissing(
            f"definition {name!r} version {version!r} is not loaded here; name its module with --module"
        )

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


def _rebuilds(trigger: Trigger, event: Event) -> bool:
    """Whether the event's own fields say all that the trigger said, so that it need not be stored twice."""
    if isinstance(trigger, RecordOutcome):
        return trigger.kind == "run" and isinstance(event, e.StepSucceeded)
    return isinstance(trigger, _BEGINNINGS)


def _fall_due(decision: Decision) -> Events:
    """Decide all that fell due before the trigger came, in the order of the due instants."""
    state = decision.state
    while state.ended is None and not state.paused and state.dues:
        key, due_at = min(state.dues.items(), key=lambda item: (item[1], item[0]))
        if due_at > decision.at:
            return
        version = state.version
        kind, _, step_id = key.partition(":")
        yield from _due(decision, kind, step_id, due_at)
        if state.version == version:
            return


def _due(decision: Decision, kind: str, step_id: str, due_at: datetime) -> Events:
    state = decision.state
    if kind == "deadline":
        failure = make_failure("workflow", FailureClass.TIMEOUT, "the workflow's deadline", type_name="DeadlinePassed")
        yield from begin_stopping(decision, why="deadline", reason="the deadline has passed", failure=failure)
    elif kind == "retry":
        if step_id == UNDO:
            yield from compensator.attempt(decision)
        else:
            yield from executor.attempt(decision, state.steps[step_id])
    elif kind == "probe":
        yield from _probe(decision, step_id)
    elif kind == "approval":
        yield from approval_wait.expire(decision, state.ballots[step_id])
    elif kind == "escalate":
        yield from approval_wait.escalate(state.ballots[step_id])
    else:
        yield from _wait_over(decision, step_id, due_at)


def _probe(decision: Decision, step_id: str) -> Events:
    state = decision.state
    step = state.steps[step_id]
    declared = decision.recipe.activities[step.planned.activity or ""] if step.planned is not None else None
    probe = decision.recipe.activities.get(declared.reconcile or "") if declared is not None else None
    if probe is not None and step.live is None:
        given = {"input": step.input or {}, "idempotency_key": step.key}
        yield from schedule_attempt(decision, step, probe, "probe", given, key=step.key)


def _wait_over(decision: Decision, step_id: str, due_at: datetime) -> Events:
    """A wait for a time is over; a wait for a signal or a child has run out of time."""
    state = decision.state
    if wait_key(step_id, "time") in state.waits:
        yield e.WaitSatisfied(step=step_id, reason="time")
        yield e.StepSucceeded(step=step_id, attempt=0)
        return
    wait = state.waits.get(wait_key(step_id, "signal")) or state.waits[wait_key(step_id, "child")]
    then = wait.on_timeout or "fail"
    child = wait.name if wait.reason == "child" else None
    yield e.WaitTimedOut(step=step_id, reason=wait.reason, due_at=due_at, then=then, child_workflow=child)
    if then == "ok":
        yield e.StepSucceeded(step=step_id, attempt=0)
    elif then == "skip":
        yield e.StepSkipped(step=step_id, reason=f"the {wait.reason} did not come in time")
    else:
        failure = make_failure(
            step_id, FailureClass.TIMEOUT, f"the {wait.reason} did not come in time", type_name="WaitTimedOut"
        )
        yield e.StepFailed(step=step_id, failure=failure)
        yield from consequence(decision, step_id, failure)


def _go_on(decision: Decision) -> Events:
    """Whatever can go on, goes on."""
    state = decision.state
    missing = _DEFINITION_MISSING
    if decision.definition is None:
        if missing not in state.waits and not state.paused:
            detail = f"definition {state.definition!r} version {state.definition_version!r} is not loaded"
            yield e.WaitStarted(step="", reason="definition", detail=detail)
        return
    if missing in state.waits:
        yield e.WaitSatisfied(step="", reason="definition")
    if state.paused:
        return
    yield from observer.judge(decision)
    if state.dues:
        yield from _fall_due(decision)
    if state.live and decision.given.open_commands:
        yield from executor.expire_open(decision)
    if state.stopping is not None:
        yield from compensator.stop(decision)
        return
    yield from _carry_on(decision)


def _carry_on(decision: Decision) -> Events:
    """Plan, set ready steps under way and, when all have settled, ask for more or finalise."""
    state = decision.state
    if state.planning and _may_plan(state):
        yield from planner.propose(decision)
    if state.ready:
        yield from executor.schedule_ready(decision)
    if state.stopping is not None or state.waits or state.planning:
        return
    if len(state.steps) > (ARTIFACT_STEP in state.steps):
        return
    if not state.plan_final:
        yield from planner.propose(decision)
    else:
        yield from finalizer.close(decision)


def _may_plan(state: State) -> bool:
    """Whether the planner can be asked now: it is not under way, in backoff, or given up for a person."""
    step = state.steps.get(PLAN_STEP)
    return step is None or (
        step.live is None
        and step.status is StepStatus.PLANNED
        and step.undecided is None
        and ":budget" not in state.waits
    )
