"""Parents and children: what one workflow's events ask of another one, as requests in the order of the log.

A child is started for its parent, asked to stop with it, and its end is told to the parent. A fork
is begun for its source, and after that neither knows of the other. All of it may be asked twice: starting meets the
workflow that is there, everything else is fenced by a receipt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from domain.errors import DefinitionMissing, HandrailError, Refused
from domain.events import TERMINAL_EVENTS, ChildStarted, Event, ForkTaken, StoppingBegan, WaitTimedOut
from domain.failures import FailureClass
from domain.ports import Clock, Receipt, Request
from domain.recorded import RecordedEvent
from domain.triggers import CancelWorkflow, EndChild, ForkWorkflow, StartWorkflow
from producers.facts import KnownWorkflows, WorkflowFacts

ENGINE: Final = "engine"

Asked = list[tuple[Request, RecordedEvent]]
"""Requests, each with the event that it comes from."""

_STATUSES: Final[dict[str, Any]] = {
    "WorkflowCompleted": "completed",
    "WorkflowFailed": "failed",
    "WorkflowCancelled": "cancelled",
    "WorkflowCompensated": "compensated",
}


class Nursery(Protocol):
    """Who knows what a child, or a fork, begins with."""

    async def child(self, event: ChildStarted, parent: str, facts: WorkflowFacts) -> StartWorkflow | None:
        """The trigger that starts a child, None where it has begun; raises Refused where it does not fit.

        Raises DefinitionMissing where that cannot be told here, for want of the parent's definition.
        """
        ...

    async def fork(self, event: ForkTaken, source: str) -> ForkWorkflow | None:
        """The trigger that begins a fork; None where it has begun, or can never begin.

        Raises DefinitionMissing where nobody here could drive it, for want of its definition.
        """
        ...


class Kinship:
    """Turns events into what they ask of other workflows."""

    def __init__(self, known: KnownWorkflows, nursery: Nursery, clock: Clock) -> None:
        """Nothing is asked here: whoever called decides the requests."""
        self._known = known
        self._nursery = nursery
        self._clock = clock
        self._askers: dict[type[Event], Callable[[RecordedEvent, Any, Asked], None]] = {
            StoppingBegan: self._stopping,
            WaitTimedOut: self._timed_out,
            **dict.fromkeys(TERMINAL_EVENTS, self._ended),
        }

    async def ask(self, recorded: RecordedEvent, asked: Asked) -> None:
        """Add what an event asks of other workflows; raises DefinitionMissing where that cannot be told here."""
        event = recorded.event
        if type(event) is ChildStarted:
            await self._child_started(recorded, event, asked)
        elif type(event) is ForkTaken:
            await self._fork_taken(recorded, event, asked)
        elif (asker := self._askers.get(type(event))) is not None:
            asker(recorded, event, asked)

    def refused(self, request: Request, error: HandrailError) -> Request | None:
        """What is told to the parent of a child that refused to begin; None where nobody waits for it."""
        trigger = request.trigger
        if isinstance(trigger, StartWorkflow) and trigger.parent_workflow and trigger.parent_step:
            return self._refused_child(trigger.parent_workflow, trigger.parent_step, request.workflow_id, error)
        return None

    async def _child_started(self, recorded: RecordedEvent, event: ChildStarted, asked: Asked) -> None:
        parent = recorded.originator_id
        try:
            start = await self._nursery.child(event, parent, self._known.of(parent))
        except DefinitionMissing:
            raise
        except Refused as refusal:
            asked.append((self._refused_child(parent, event.step, event.child_workflow, refusal), recorded))
            return
        if start is not None:
            cause = f"{parent}/{recorded.originator_version}"
            asked.append((Request(event.child_workflow, start, self._clock(), cause, ENGINE), recorded))

    async def _fork_taken(self, recorded: RecordedEvent, event: ForkTaken, asked: Asked) -> None:
        source = recorded.originator_id
        begin = await self._nursery.fork(event, source)
        if begin is not None:
            cause = f"{source}/{recorded.originator_version}"
            asked.append((Request(event.fork, begin, self._clock(), cause, event.by), recorded))

    def _refused_child(self, parent: str, step: str, child: str, error: HandrailError) -> Request:
        trigger = EndChild(
            step=step,
            child_workflow=child,
            status="failed",
            reason=f"{FailureClass.INVALID.value}: it could not be started: {error}",
        )
        return self._to_parent(parent, trigger)

    def _to_parent(self, parent: str, trigger: EndChild) -> Request:
        receipt = Receipt(f"{trigger.child_workflow}/ended/{trigger.step}", "child", trigger.status)
        return Request(parent, trigger, self._clock(), trigger.child_workflow, ENGINE, receipt=receipt)

    def _stopping(self, recorded: RecordedEvent, event: StoppingBegan, asked: Asked) -> None:
        for child in event.children:
            reason = f"its parent is stopping: {event.reason}"
            asked.append(self._cancel(recorded, child, reason, compensate=event.compensate))

    def _timed_out(self, recorded: RecordedEvent, event: WaitTimedOut, asked: Asked) -> None:
        if event.child_workflow is not None:
            reason = "it did not end in the time its parent gives it"
            asked.append(self._cancel(recorded, event.child_workflow, reason))

    def _cancel(
        self, recorded: RecordedEvent, child: str, reason: str, *, compensate: bool = True
    ) -> tuple[Request, RecordedEvent]:
        cause = f"{recorded.originator_id}/{recorded.originator_version}"
        trigger = CancelWorkflow(by=ENGINE, reason=reason[:2_000], compensate=compensate)
        receipt = Receipt(f"{cause}/cancel/{child}", "control", "")
        return Request(child, trigger, self._clock(), cause, ENGINE, receipt=receipt), recorded

    def _ended(self, recorded: RecordedEvent, event: Any, asked: Asked) -> None:
        child = recorded.originator_id
        facts = self._known.of(child)
        if facts.parent_workflow is None or facts.parent_step is None:
            return
        trigger = EndChild(
            step=facts.parent_step,
            child_workflow=child,
            status=_STATUSES[event.stored_name],
            output=getattr(event, "output", None),
            reason=getattr(event, "reason", ""),
            effects=event.effects,
        )
        asked.append((self._to_parent(facts.parent_workflow, trigger), recorded))


KIN_EVENTS: Final = frozenset({ChildStarted, ForkTaken, StoppingBegan, WaitTimedOut, *TERMINAL_EVENTS})
"""The events that may ask something of another workflow."""
