"""Replay: fold a history, decide it again from the record alone, and name the first divergence.

Pure. Deciding again needs the definition for its plan and policies, and takes from the record whatever author code
computed. "Decided by another engine version" is told apart from "diverged".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from domain import events as e
from domain.definitions import Definition
from domain.errors import HandrailError
from domain.events import Event
from domain.facts import Facts, FromRecord
from domain.ports import Definitions
from domain.recorded import ENGINE, RecordedEvent
from domain.state import State
from domain.triggers import TRIGGER, ForkWorkflow, Given, RecordOutcome, StartWorkflow, Trigger
from domain.workflow import Workflow


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first event that deciding again does not give: its version, what is recorded, what comes out now.

    `recorded` and `decided` are the two facts themselves: None where there is none, or where `found` is an error.
    """

    version: int
    expected: str
    found: str
    engine: str
    recorded: Event | None = None
    decided: Event | None = None

    @property
    def other_engine(self) -> bool:
        """Whether another version of the engine decided it: then the difference is no fault of the record."""
        return self.engine != ENGINE


def fold(events: Sequence[RecordedEvent], *, upto: int | None = None) -> State:
    """The state after all events, or after those up to a version."""
    workflow = Workflow(events[0].originator_id) if events else Workflow("")
    for recorded in events:
        if upto is not None and recorded.originator_version > upto:
            break
        workflow.apply(recorded)
    return workflow.state


def decisions(events: Sequence[RecordedEvent]) -> Iterator[list[RecordedEvent]]:
    """The history cut into its decisions, each a run of events of one trigger."""
    current: list[RecordedEvent] = []
    for recorded in events:
        if current and recorded.decision != current[0].decision:
            yield current
            current = []
        current.append(recorded)
    if current:
        yield current


def trigger_of(recorded: RecordedEvent) -> Trigger:
    """Rebuild the trigger of a decision from its first event."""
    event = recorded.event
    if event.trigger is not None:
        return TRIGGER.validate_python(event.trigger)  # type: ignore[no-any-return]
    if isinstance(event, e.WorkflowStarted):
        return StartWorkflow(**event.model_dump(exclude={"trigger"}))
    if isinstance(event, e.WorkflowForked):
        return ForkWorkflow(**event.model_dump(exclude={"trigger", "redactable"}))
    if isinstance(event, e.StepSucceeded):
        return RecordOutcome(
            step=event.step,
            kind="run",
            attempt=event.attempt,
            status="ok",
            output=event.output,
            artifacts=event.artifacts,
            worker=event.worker,
            claimed_at=event.claimed_at,
            started_at=event.started_at,
            finished_at=event.finished_at,
        )
    raise HandrailError(f"event {recorded.originator_version} ({recorded.name}) does not say what it was decided on")


def open_commands(events: Sequence[RecordedEvent]) -> frozenset[str]:
    """The commands that a decision found unclaimed, as far as it made use of that."""
    revoking = [one.event for one in events if type(one.event) in _REVOKING]
    return frozenset(command for event in revoking for command in event.revoked)  # type: ignore[attr-defined]  # these have it


_REVOKING: Final = frozenset(kind for kind in e.STORED.values() if "revoked" in kind.model_fields)


def decide_again(events: Sequence[RecordedEvent], definitions: Definitions) -> Divergence | None:
    """Decide a whole history again; the first divergence, or None where every decision comes out as recorded."""
    if not events:
        return None
    again = DecidingAgain(events[0].originator_id, definitions)
    return next(filter(None, map(again.decide, decisions(events))), None)


class DecidingAgain:
    """Decides one history again, a decision at a time, and keeps nothing of it but the state."""

    def __init__(
        self,
        workflow_id: str,
        definitions: Definitions,
        *,
        facts: Callable[[Sequence[RecordedEvent]], Facts] = FromRecord,
        same: Callable[[RecordedEvent, RecordedEvent], bool] | None = None,
    ) -> None:
        """Begin before the first event.

        `facts` makes what author code computed of a recorded decision; `same` says whether what is recorded and what
        is decided are one fact.
        """
        self._workflow = Workflow(workflow_id)
        self._definitions = definitions
        self._facts = facts
        self._same = same or same_fact

    @property
    def state(self) -> State:
        """The state after the decisions so far."""
        return self._workflow.state

    def decide(self, decision: Sequence[RecordedEvent]) -> Divergence | None:
        """Decide the next decision again; how it comes out otherwise, or None. After that this object is spent."""
        workflow = self._workflow
        first = decision[0]
        given = Given(trigger_of(first), first.timestamp, first.cause, first.actor, open_commands(decision))
        definition = _definition_for(workflow.state, given.trigger, self._definitions, decision)
        try:
            again = workflow.handle(given, definition, self._facts(decision)).events
        except HandrailError as error:
            found = f"{type(error).__name__}: {error}"
            return Divergence(first.originator_version, _show(first.event), found, first.engine, first.event)
        for recorded, decided in zip(decision, again, strict=False):
            if not self._same(recorded, decided):
                return _divergence(recorded.originator_version, recorded.engine, recorded.event, decided.event)
        if len(again) != len(decision):
            at = min(len(again), len(decision))
            return _divergence(
                first.originator_version + at,
                first.engine,
                decision[at].event if at < len(decision) else None,
                again[at].event if at < len(again) else None,
            )
        workflow.collect_events()
        workflow.state.head = decision[-1].digest
        return None


def _divergence(version: int, engine: str, recorded: Event | None, decided: Event | None) -> Divergence:
    expected, found = ("nothing further" if one is None else _show(one) for one in (recorded, decided))
    return Divergence(version, expected, found, engine, recorded, decided)


def _definition_for(
    state: State, trigger: Trigger, definitions: Definitions, decision: Sequence[RecordedEvent]
) -> Definition | None:
    """The definition that the decision was made with: none where the record says that it was missing."""
    if any(isinstance(one.event, e.WaitStarted) and one.event.reason == "definition" for one in decision):
        return None
    still_missing = ":definition" in state.waits and not any(
        isinstance(one.event, e.WaitSatisfied) and one.event.reason == "definition" for one in decision
    )
    if still_missing:
        return None
    if isinstance(trigger, StartWorkflow):
        return definitions.find(trigger.definition, trigger.definition_version)
    if isinstance(trigger, ForkWorkflow):
        return definitions.find(str(trigger.state["definition"]), str(trigger.state["definition_version"]))
    return definitions.find(state.definition, state.definition_version)


def same_fact(recorded: RecordedEvent, decided: RecordedEvent) -> bool:
    """Whether both are the same fact. Nearly always they are so to the byte, which is told at once."""
    if recorded.payload == decided.payload and type(recorded.event) is type(decided.event):
        return True
    return _fact(recorded.event) == _fact(decided.event)


def _fact(event: Event) -> tuple[str, dict[str, object]]:
    return event.stored_name, event.model_dump(mode="json", exclude_none=True)


def _show(event: Event) -> str:
    return f"{event.stored_name} {event.model_dump_json(exclude_none=True)}"
