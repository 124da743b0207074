"""The relay: carries on what the log says is to happen outside the workflow that said it.

The log is the outbox. The relay follows it from its position: step commands go to the transport, children are started,
asked to stop, and their ends told to their parents, kept signals come to waits that begin. Only when all of a batch is
done does the position move, by compare-and-set; so whatever a crash interrupts is done again, and all of it may be done
twice: commands are fenced by the inbox, everything else by receipts.

The position is written at most every quarter of a second: a commit a batch would cost more than doing a little again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from domain.errors import (
    DefinitionMissing,
    FenceMissed,
    HandrailError,
    Refused,
    StoreError,
    StoreUnavailable,
    WorkflowUnknown,
)
from domain.events import (
    TERMINAL_EVENTS,
    ChildStarted,
    Event,
    StepScheduled,
    StoppingBegan,
    WaitStarted,
    WaitTimedOut,
    WorkflowForked,
    WorkflowStarted,
)
from domain.failures import FailureClass
from domain.ports import Clock, Command, CommandSender, Decided, Decider, Notification, Receipt, Request
from domain.recorded import RecordedEvent
from domain.triggers import CancelWorkflow, EndChild, StartWorkflow
from producers.facts import KnownWorkflows, WorkflowFacts
from producers.signals import Signals

_log: Final = logging.getLogger("handrail.producers")

RELAY: Final = "relay"
"""Name of the relay's position."""
ENGINE: Final = "engine"
EVENTS_A_BATCH: Final = 500
POSITION_EVERY_SECONDS: Final = 0.25
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 5.0


class Follower(Protocol):
    """Hands out the log, batch by batch."""

    @property
    def position(self) -> int:
        """Position of the last event handed out."""
        ...

    async def next_batch(self, limit: int = ...) -> list[Notification]:
        """Wait until there is something, and take it."""
        ...


class Outside(Protocol):
    """What the relay is given by whoever puts the parts together."""

    def drives(self, notification: Notification) -> bool:
        """Whether this process drives the workflow of an event; hears of every event."""
        ...

    def started_here(self, message_id: str) -> bool:
        """Whether a command was claimed and started by the transaction that scheduled it; asked once."""
        ...

    def command(self, recorded: RecordedEvent, facts: WorkflowFacts) -> Command:
        """The command that a StepScheduled event asks for."""
        ...

    def child(self, event: ChildStarted, parent: str, facts: WorkflowFacts) -> StartWorkflow | None:
        """The trigger that starts a child, None where it has begun; raises Refused where it does not fit.

        Raises DefinitionMissing where that cannot be told here, for want of the parent's definition.
        """
        ...

    def stopping(self, workflow_id: str, event: StoppingBegan) -> None:
        """A workflow began to stop: tell its attempts."""
        ...

    def move(self, before: int, after: int) -> None:
        """Write the relay's position; raises FenceMissed where it is not at `before`."""
        ...

    def park(self, recorded: RecordedEvent) -> None:
        """Keep an event that cannot be carried on here, for another relay."""
        ...

    def parked(self) -> Sequence[RecordedEvent]:
        """The events that former relays have parked."""
        ...

    def unpark(self, recorded: RecordedEvent) -> None:
        """Forget an event that was parked and is carried on now."""
        ...


class Relay:
    """Follows the log and carries on what it says."""

    def __init__(
        self,
        *,
        follower: Follower,
        sender: CommandSender,
        decider: Decider,
        signals: Signals,
        known: KnownWorkflows,
        outside: Outside,
        clock: Clock,
    ) -> None:
        """Nothing is carried on before `run`."""
        self._follower = follower
        self._sender = sender
        self._decider = decider
        self._signals = signals
        self._known = known
        self._outside = outside
        self._clock = clock
        self._written = follower.position
        self._done = follower.position
        self._timer: asyncio.TimerHandle | None = None
        self._overtaken: FenceMissed | None = None
        self._commands: list[Command] = []
        self._requests: list[tuple[Request, RecordedEvent]] = []
        self._parked: list[RecordedEvent] = []
        self._waits: list[tuple[str, WaitStarted]] = []
        self._handlers: dict[type[Event], Callable[[RecordedEvent, Any], None]] = {
            ChildStarted: self._child_started,
            StoppingBegan: self._stopping,
            WaitTimedOut: self._wait_timed_out,
            WaitStarted: self._wait_started,
            WorkflowStarted: self._begun,
            WorkflowForked: self._begun,
            **dict.fromkeys(TERMINAL_EVENTS, self._ended),
        }

    async def run(self) -> None:
        """Carry on until cancelled; raises FenceMissed where another relay moved the position."""
        try:
            await self._carry_parked()
            while batch := await self._follower.next_batch(EVENTS_A_BATCH):
                if self._overtaken is not None:
                    raise self._overtaken
                await self._carry_until_done(batch)
                self._done = batch[-1].position
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(POSITION_EVERY_SECONDS, self._tick)
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def write_position(self) -> None:
        """Write how far the relay has come, where that has changed."""
        if self._done != self._written:
            self._outside.move(self._written, self._done)
            self._written = self._done

    def _tick(self) -> None:
        self._timer = None
        try:
            self.write_position()
        except FenceMissed as error:
            self._overtaken = error
        except StoreError as error:
            _log.warning("the relay's position could not be written: %s", error)
            self._timer = asyncio.get_running_loop().call_later(_LONGEST_PAUSE_SECONDS, self._tick)

    async def _carry_until_done(self, batch: Sequence[Notification]) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._carry(batch)
                return
            except StoreUnavailable as error:
                _log.warning("the relay waits for the store: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _carry_parked(self) -> None:
        """Try again what former relays could not carry on: this process may have the definitions for it."""
        for recorded in self._outside.parked():
            await self._carry_until_done([Notification(0, recorded)])
            if recorded not in self._parked:
                self._outside.unpark(recorded)

    async def _carry(self, batch: Sequence[Notification]) -> None:
        self._commands, self._requests, self._waits, self._parked = [], [], [], []
        outside, handlers = self._outside, self._handlers
        for notification in batch:
            recorded = notification.event
            driven = outside.drives(notification)
            event = recorded.event
            if type(event) is StepScheduled:
                if not outside.started_here(event.message_id) and driven:
                    facts = self._known.of(recorded.originator_id)
                    self._commands.append(outside.command(recorded, facts))
            elif (handler := handlers.get(type(event))) is not None:
                handler(recorded, event)
        if self._commands:
            await self._sender.send(self._commands)
        # In the order of the log: a child is started before it is asked to stop.
        answers: list[Awaitable[Decided]] = [self._decider.decide(request) for request, _ in self._requests]
        gathered = await asyncio.gather(*answers, return_exceptions=True)
        for (request, recorded), answer in zip(self._requests, gathered, strict=True):
            if isinstance(answer, BaseException):
                await self._failed(request, recorded, answer)
        for workflow_id, wait in self._waits:
            await self._signals.wanted(workflow_id, wait)
        for recorded in self._parked:
            self._outside.park(recorded)

    async def _failed(self, request: Request, recorded: RecordedEvent, error: BaseException) -> None:
        """What could not be asked of another workflow: trouble is raised, a refusal is told where somebody waits."""
        if isinstance(error, StoreUnavailable) or not isinstance(error, HandrailError):
            raise error
        trigger = request.trigger
        if isinstance(error, DefinitionMissing):
            self._parked.append(recorded)
        elif isinstance(trigger, StartWorkflow) and trigger.parent_workflow and trigger.parent_step:
            refusal = self._refused_child(trigger.parent_workflow, trigger.parent_step, request.workflow_id, error)
            await self._decider.decide(refusal)
        elif not isinstance(error, WorkflowUnknown):
            _log.error("workflow %s refused %s: %s", request.workflow_id, trigger, error)

    # --- one handler for each event that concerns another workflow ---------------------------------------------------

    def _begun(self, recorded: RecordedEvent, _: Event) -> None:
        self._known.note(recorded)

    def _child_started(self, recorded: RecordedEvent, event: ChildStarted) -> None:
        parent = recorded.originator_id
        try:
            start = self._outside.child(event, parent, self._known.of(parent))
        except DefinitionMissing:
            self._parked.append(recorded)
            return
        except Refused as refusal:
            refused = self._refused_child(parent, event.step, event.child_workflow, refusal)
            self._requests.append((refused, recorded))
            return
        if start is None:
            return
        cause = f"{parent}/{recorded.originator_version}"
        self._requests.append((Request(event.child_workflow, start, self._clock(), cause, ENGINE), recorded))

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

    def _stopping(self, recorded: RecordedEvent, event: StoppingBegan) -> None:
        self._outside.stopping(recorded.originator_id, event)
        for child in event.children:
            self._cancel(recorded, child, f"its parent is stopping: {event.reason}", compensate=event.compensate)

    def _wait_timed_out(self, recorded: RecordedEvent, event: WaitTimedOut) -> None:
        if event.child_workflow is not None:
            self._cancel(recorded, event.child_workflow, "it did not end in the time its parent gives it")

    def _cancel(self, recorded: RecordedEvent, child: str, reason: str, *, compensate: bool = True) -> None:
        parent = recorded.originator_id
        cause = f"{parent}/{recorded.originator_version}"
        trigger = CancelWorkflow(by=ENGINE, reason=reason[:2_000], compensate=compensate)
        receipt = Receipt(f"{cause}/cancel/{child}", "control", "")
        self._requests.append((Request(child, trigger, self._clock(), cause, ENGINE, receipt=receipt), recorded))

    def _wait_started(self, recorded: RecordedEvent, event: WaitStarted) -> None:
        if event.reason == "signal":
            self._waits.append((recorded.originator_id, event))

    def _ended(self, recorded: RecordedEvent, event: Any) -> None:
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
        self._requests.append((self._to_parent(facts.parent_workflow, trigger), recorded))


_STATUSES: Final[dict[str, Any]] = {
    "WorkflowCompleted": "completed",
    "WorkflowFailed": "failed",
    "WorkflowCancelled": "cancelled",
    "WorkflowCompensated": "compensated",
}
